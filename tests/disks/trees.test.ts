import { beforeEach, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { exportImage } from '../../lib/repository/export.js';
import { importImage, type ImportOptions } from '../../lib/repository/import.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { childrenOf, must } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { createWorld } from '../repository/worlds.js';

const MIB = 1024 * 1024;

cleanUpAfter('each');

let folder: string;
let temporary: string;
let tree: string;
beforeEach(() => {
  folder = temporaryFolder('trees');
  temporary = temporaryFolder('trees-tmp');
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = temporary;
  undoLater(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });
  tree = join(folder, 'tree');
  mkdirSync(join(tree, 'etc'), { recursive: true });
  writeFileSync(join(tree, 'etc', 'hostname'), 'box\n');
  chmodSync(join(tree, 'etc', 'hostname'), 0o640);
  chownSync(join(tree, 'etc', 'hostname'), 1234, 5678);
  symlinkSync('/etc/hostname', join(tree, 'link'));
  writeFileSync(join(tree, 'large'), Buffer.alloc(5 * MIB, 7));
  linkSync(join(tree, 'large'), join(tree, 'twin'));
});

/** Imports, and gives the file system that came out. */
async function diskOf(
  path: string,
  options: Partial<ImportOptions> = {},
): Promise<{ raw: string; sizeBytes: number; allocatedBytes: number }> {
  const world = await createWorld();
  const made = await importImage(world.repository, { source: { kind: 'file', path }, image: 'vm', ...options });
  const raw = join(folder, 'out.raw');
  await exportImage(world.repository, { image: 'vm', target: { kind: 'file', path: raw, force: true } });
  return { ...made, raw };
}

async function expectTheTree(raw: string): Promise<void> {
  await must('e2fsck', ['-fn', raw]);
  const stat = await must('debugfs', ['-R', 'stat /etc/hostname', raw]);
  expect(stat).toMatch(/Mode:\s+0640/);
  expect(stat).toMatch(/User:\s+1234\s+Group:\s+5678/);
  expect(await must('debugfs', ['-R', 'cat /etc/hostname', raw])).toBe('box\n');
  expect(await must('debugfs', ['-R', 'stat /link', raw])).toContain('/etc/hostname');
  expect(await must('debugfs', ['-R', 'stat /twin', raw])).toMatch(/Links: 2/);
}

// S95
test('a folder becomes an ext4 that holds it, sparse, of a size that fits or that is asked for', async () => {
  const { raw, sizeBytes, allocatedBytes } = await diskOf(tree);
  await expectTheTree(raw);
  expect(sizeBytes).toBe(144 * MIB);
  expect(allocatedBytes).toBeLessThan(20 * MIB);
  expect(await diskOf(tree, { fileSystemBytes: 256 * MIB })).toMatchObject({ sizeBytes: 256 * MIB });
  await expect(diskOf(tree, { fileSystemBytes: 4 * MIB })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('larger --size'),
  });
  expect(readdirSync(temporary)).toEqual([]);
  expect(await childrenOf(process.pid)).toEqual([]);
});

// S95
test.each(['tar', 'tar.gz', 'tar.zst'])('a %s becomes the same', async (suffix) => {
  const archive = join(folder, `tree.${suffix}`);
  await must('tar', ['-C', tree, '-caf', archive, '.']);
  await expectTheTree((await diskOf(archive)).raw);
  expect(readdirSync(temporary)).toEqual([]);
  expect(await childrenOf(process.pid)).toEqual([]);
});

// S95
test('an archive that is cut off, or not what its checksum says, becomes nothing', async () => {
  const archive = join(folder, 'tree.tar');
  await must('tar', ['-C', tree, '-cf', archive, '.']);
  const checksum = { algorithm: 'sha256', hex: '0'.repeat(64) } as const;
  await expect(diskOf(archive, { checksum })).rejects.toMatchObject({ code: 'DAMAGED' });
  await must('truncate', ['-s', '1M', archive]);
  await expect(diskOf(archive)).rejects.toMatchObject({ code: 'DAMAGED' });
  expect(readdirSync(temporary)).toEqual([]);
  expect(await childrenOf(process.pid)).toEqual([]);
});

// S90, S95
test('what follows the end of an archive is not unpacked, but belongs to its checksum', async () => {
  const archive = join(folder, 'tree.tar');
  await must('tar', ['-C', tree, '-cf', archive, '.']);
  appendFileSync(archive, Buffer.alloc(4 * MIB, 1));
  const hex = createHash('sha256').update(readFileSync(archive)).digest('hex');
  await expectTheTree((await diskOf(archive, { checksum: { algorithm: 'sha256', hex } })).raw);
  const checksum = { algorithm: 'sha256', hex: '0'.repeat(64) } as const;
  await expect(diskOf(archive, { checksum })).rejects.toMatchObject({
    code: 'DAMAGED',
    message: expect.stringContaining(hex),
  });
});

test('what can not become a file system says so', async () => {
  writeFileSync(join(folder, 'disk.raw'), Buffer.alloc(MIB));
  await expect(diskOf(join(folder, 'disk.raw'), { fileSystemBytes: MIB })).rejects.toMatchObject({ code: 'USAGE' });
  await expect(diskOf(tree, { format: 'raw' })).rejects.toMatchObject({ code: 'USAGE' });
  await expect(diskOf(tree, { platform: 'linux/arm64' })).rejects.toMatchObject({ code: 'USAGE' });
});
