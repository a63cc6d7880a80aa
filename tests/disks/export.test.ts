import { beforeEach, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { exportImage } from '../../lib/repository/export.js';
import { importImage } from '../../lib/repository/import.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { childrenOf, must } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { CHUNK, createWorld, type World } from '../repository/worlds.js';

const MIB = 1024 * 1024;

cleanUpAfter('each');

let folder: string;
beforeEach(() => {
  folder = temporaryFolder('export');
});

/** 64 MiB with 2 MiB of data and some blocks. */
async function image(world: World): Promise<string> {
  const bytes = Buffer.alloc(64 * MIB);
  randomBytes(2 * MIB).copy(bytes, 20 * MIB + 4096);
  bytes.write('at the beginning', 0);
  bytes.write('across a border', 3 * CHUNK - 5);
  bytes.write('the end', bytes.length - 7);
  const path = join(folder, 'disk.raw');
  writeFileSync(path, bytes);
  await importImage(world.repository, { source: { kind: 'file', path }, image: 'vm' });
  return path;
}

// S93
test.each([
  ['qcow2', 'qcow2', 4],
  ['vmdk', 'vmdk', 4],
  ['vhdx', 'vhdx', 44],
  ['vhd', 'vpc', 12],
  ['vdi', 'vdi', 9],
] as const)('an export as %s is the same disk for QEMU, and as thin', async (format, driver, mostMib) => {
  const world = await createWorld();
  const raw = await image(world);
  const path = join(folder, 'out.disk');
  const result = await exportImage(world.repository, { image: 'vm', target: { kind: 'file', path, format } });
  expect(result).toMatchObject({ sizeBytes: 64 * MIB, complete: true });
  expect(await must('qemu-img', ['compare', '-f', 'raw', '-F', driver, raw, path])).toContain('identical');
  if (driver !== 'vpc') await must('qemu-img', ['check', '-f', driver, path]);
  expect(statSync(path).blocks * 512).toBeLessThan(mostMib * MIB);
  expect(readdirSync(folder).sort()).toEqual(['disk.raw', 'out.disk']);
  expect(await childrenOf(process.pid)).toEqual([]);
});

// S93
test('an image of odd size is rounded up to a sector', async () => {
  const world = await createWorld();
  const stream = Readable.from([Buffer.alloc(CHUNK + 1, 7)]);
  await importImage(world.repository, { source: { kind: 'stream', stream }, image: 'vm' });
  const path = join(folder, 'odd.qcow2');
  await exportImage(world.repository, { image: 'vm', target: { kind: 'file', path, format: 'qcow2' } });
  expect(JSON.parse(await must('qemu-img', ['info', '--output=json', path]))).toMatchObject({
    'virtual-size': CHUNK + 512,
  });
  const back = await importImage(world.repository, { source: { kind: 'file', path }, image: 'back' });
  expect(back).toMatchObject({ sizeBytes: CHUNK + 512, allocatedBytes: 2 * CHUNK });
});

test('an export that fails in the middle leaves neither a file nor a process, and what was there stays', async () => {
  const world = await createWorld();
  await image(world);
  const path = join(folder, 'out.qcow2');
  writeFileSync(path, 'precious');
  const target = { kind: 'file', path, format: 'qcow2' } as const;
  await expect(exportImage(world.repository, { image: 'vm', target })).rejects.toMatchObject({ code: 'EXISTS' });
  world.store.inject({ kind: 'flip-bit', bit: 5 }, { operation: 'get', key: /^segments/, skip: 1, times: Infinity });
  await expect(
    exportImage(world.repository, { image: 'vm', target: { ...target, force: true } }),
  ).rejects.toMatchObject({ code: 'DAMAGED' });
  expect(readdirSync(folder).sort()).toEqual(['disk.raw', 'out.qcow2']);
  expect(statSync(path).size).toBe('precious'.length);
  expect(await childrenOf(process.pid)).toEqual([]);
});
