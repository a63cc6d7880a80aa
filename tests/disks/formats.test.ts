import { beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { openSource, type DiskLocation } from '../../lib/disks/open-source.js';
import type { OpenOptions } from '../../lib/disks/open-options.js';
import { importImage } from '../../lib/repository/import.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { childrenOf, must, start } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { CHUNK, createWorld } from '../repository/worlds.js';

const MIB = 1024 * 1024;

cleanUpAfter('each');

let folder: string;
let temporary: string;
beforeEach(() => {
  folder = temporaryFolder('formats');
  temporary = temporaryFolder('formats-tmp');
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = temporary;
  undoLater(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });
});

/** 12 MiB with data in four places, one of them across the border of two chunks, and at its end. */
async function rawDisk(): Promise<{ path: string; bytes: Buffer }> {
  const bytes = Buffer.alloc(12 * MIB);
  const path = join(folder, 'disk.raw');
  const file = await open(path, 'w');
  await file.truncate(bytes.length);
  for (const [offset, lengthBytes] of [
    [0, 4096],
    [17 * CHUNK - 4096, 8192],
    [7 * MIB, MIB],
    [12 * MIB - 512, 512],
  ] as const) {
    const piece = bytes.subarray(offset, offset + lengthBytes);
    for (let at = 0; at < lengthBytes; at += 8) piece.writeDoubleLE(offset + at + 1, at);
    await file.write(piece, 0, lengthBytes, offset);
  }
  await file.close();
  return { path, bytes };
}

async function convert(path: string, format: string, ...options: string[]): Promise<string> {
  const to = join(folder, `disk.${format}${String(options.length)}`);
  await must('qemu-img', ['convert', '-f', 'raw', '-O', format, ...options, path, to]);
  return to;
}

/** All bytes of a source, and how many of its chunks were not read. */
async function contentOf(
  location: DiskLocation,
  options?: OpenOptions,
): Promise<{ bytes: Buffer; skipped: number; sizeBytes: number }> {
  const source = await openSource(location, options);
  try {
    const chunks: Buffer[] = [];
    let skipped = 0;
    for await (const chunk of source.chunks(CHUNK)) {
      if (chunk === null) skipped++;
      chunks.push(chunk === null ? Buffer.alloc(CHUNK) : Buffer.from(chunk));
      if (chunk !== null) source.giveBack(chunk);
    }
    const sizeBytes = source.finalSizeBytes();
    return { bytes: Buffer.concat(chunks).subarray(0, sizeBytes), skipped, sizeBytes };
  } finally {
    await source.close();
  }
}

async function expectNothingLeft(): Promise<void> {
  expect(readdirSync(temporary)).toEqual([]);
  expect(await childrenOf(process.pid)).toEqual([]);
}

// S90, S91
describe('a disk in a container', () => {
  test.each([
    ['qcow2', [], 10],
    ['qcow2', ['-c'], 10],
    ['qcow', [], 10],
    ['vmdk', [], 10],
    ['vmdk', ['-o', 'subformat=streamOptimized'], 10],
    ['vdi', [], 7],
    ['vpc', ['-o', 'force_size=on'], 4],
    // QEMU tells of no holes in these.
    ['vpc', ['-o', 'subformat=fixed,force_size=on'], 0],
    ['vhdx', [], 0],
  ])('of %s %j is what was put into it, and its %d MiB of holes are not read', async (format, options, holesMib) => {
    const { path, bytes } = await rawDisk();
    const found = await contentOf({ kind: 'file', path: await convert(path, format, ...options) });
    expect(found.sizeBytes).toBe(bytes.length);
    expect(found.bytes.equals(bytes)).toBe(true);
    expect(found.skipped * CHUNK).toBeGreaterThanOrEqual(holesMib * MIB);
    await expectNothingLeft();
  });

  test('is read from a stream too, through its packed form', async () => {
    const { path, bytes } = await rawDisk();
    const qcow2 = readFileSync(await convert(path, 'qcow2'));
    for (const stream of [Readable.from([qcow2]), Readable.from([gzipSync(qcow2)])]) {
      const found = await contentOf({ kind: 'stream', stream });
      expect(found.bytes.equals(bytes)).toBe(true);
      expect(found.skipped * CHUNK).toBeGreaterThanOrEqual(10 * MIB);
    }
    await expectNothingLeft();
  });

  test('becomes an image of exactly the chunks that hold something', async () => {
    const { path } = await rawDisk();
    const world = await createWorld();
    const raw = await importImage(world.repository, { source: { kind: 'file', path }, image: 'raw' });
    const qcow2 = await convert(path, 'qcow2');
    const made = await importImage(world.repository, { source: { kind: 'file', path: qcow2 }, image: 'qcow2' });
    expect(made).toMatchObject({ sizeBytes: raw.sizeBytes, allocatedBytes: raw.allocatedBytes });
    const chunkIds = async (image: string) => {
      const ids: [number, string][] = [];
      const tree = await world.repository.readRecord(image, 1);
      for await (const [chunk, { id }] of world.repository.trees().chunks(tree, 0)) ids.push([chunk, id]);
      return ids;
    };
    expect(await chunkIds('qcow2')).toEqual(await chunkIds('raw'));
  });

  test('that is truncated says so, and leaves nothing', async () => {
    const { path } = await rawDisk();
    const qcow2 = await convert(path, 'qcow2');
    const world = await createWorld();
    const { length } = readFileSync(qcow2);
    for (const left of [length - 2 * 65_536, 100_000, 600]) {
      truncateSync(qcow2, left);
      await expect(
        importImage(world.repository, { source: { kind: 'file', path: qcow2 }, image: 'vm' }),
      ).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(qcow2) });
    }
    writeFileSync(qcow2, Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), Buffer.alloc(5000, 0xff)]));
    await expect(
      importImage(world.repository, { source: { kind: 'file', path: qcow2 }, image: 'vm' }),
    ).rejects.toMatchObject({
      code: 'DAMAGED',
      message: expect.stringMatching(/disk\.qcow20 can't be read as qcow2: /),
    });
    expect(await world.repository.imageNames()).toEqual([]);
    await expectNothingLeft();
  });

  test('reads no other file that it names, unless that is asked for', async () => {
    const { path, bytes } = await rawDisk();
    const base = await convert(path, 'qcow2');
    const overlay = join(folder, 'overlay.qcow2');
    await must('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay]);
    await must('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x5a 9M 64k', overlay]);
    await expect(contentOf({ kind: 'file', path: overlay })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/refers to another file.*--follow/),
      facts: { refersTo: base },
    });
    const found = await contentOf({ kind: 'file', path: overlay }, { follow: true });
    expect(found.bytes.equals(Buffer.from(bytes).fill(0x5a, 9 * MIB, 9 * MIB + 65_536))).toBe(true);

    const external = join(folder, 'external.qcow2');
    await must('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=${join(folder, 'data')}`, external, '4M']);
    await expect(contentOf({ kind: 'file', path: external })).rejects.toMatchObject({ code: 'USAGE' });

    const descriptor = join(folder, 'flat.vmdk');
    await must('qemu-img', ['convert', '-O', 'vmdk', '-o', 'subformat=monolithicFlat', path, descriptor]);
    await expect(contentOf({ kind: 'file', path: descriptor })).rejects.toMatchObject({ code: 'USAGE' });
    expect((await contentOf({ kind: 'file', path: descriptor }, { follow: true })).bytes.equals(bytes)).toBe(true);
  });

  test('that a guest writes to is refused as busy', async () => {
    const { path } = await rawDisk();
    const qcow2 = await convert(path, 'qcow2');
    const socket = join(folder, 'nbd');
    start('qemu-nbd', ['--socket', socket, '--format', 'qcow2', '--persistent', qcow2]);
    while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 10));
    await expect(contentOf({ kind: 'file', path: qcow2 })).rejects.toMatchObject({ code: 'BUSY' });
  });

  test('is given up in the middle without leaving a process or a file', async () => {
    const { path } = await rawDisk();
    const source = await openSource({ kind: 'file', path: await convert(path, 'qcow2') });
    const chunks = source.chunks(CHUNK)[Symbol.asyncIterator]();
    await chunks.next();
    await source.close();
    await expectNothingLeft();
  });

  test('asks for QEMU where it is not installed', async () => {
    const path = join(folder, 'disk.qcow2');
    writeFileSync(path, 'QFI\xfb\0\0\0\x03', 'latin1');
    const { startProgram } = await import('../../lib/disks/programs.js');
    await expect(
      startProgram({ command: 'no-such-program', package: 'a-package' }, [], `${path} is a disk`, 'ignore'),
    ).rejects.toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('apt install a-package') });
  });
});

// S90
describe('a packed disk', () => {
  const packers = [
    ['gzip', 'gz'],
    ['xz', 'xz'],
    ['zstd', 'zst'],
  ] as const;

  test.each(packers)('of %s is unpacked on the way, from a file and from a stream', async (program, suffix) => {
    const { path, bytes } = await rawDisk();
    await must(program, ['-k', '-1', path]);
    const packed = `${path}.${suffix}`;
    expect((await contentOf({ kind: 'file', path: packed })).bytes.equals(bytes)).toBe(true);
    const stream = createReadStream(packed);
    expect((await contentOf({ kind: 'stream', stream })).bytes.equals(bytes)).toBe(true);
    await expectNothingLeft();
  });

  test.each(packers)('of %s that is cut off is refused, and leaves nothing', async (program, suffix) => {
    const { path } = await rawDisk();
    await must(program, ['-k', '-1', path]);
    const packed = `${path}.${suffix}`;
    truncateSync(packed, readFileSync(packed).length - 1000);
    const world = await createWorld();
    await expect(
      importImage(world.repository, { source: { kind: 'file', path: packed }, image: 'vm' }),
    ).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringMatching(/disk\.raw\.\w+ can't be unpacked: /) });
    expect(await world.repository.imageNames()).toEqual([]);
    await expectNothingLeft();
  });

  test('in another packed file is refused', async () => {
    const stream = Readable.from([gzipSync(gzipSync('content'))]);
    await expect(contentOf({ kind: 'stream', stream })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('packed twice'),
    });
  });

  test('tells how much of it was taken in, of how much', async () => {
    const { path } = await rawDisk();
    await must('gzip', ['-k', '-1', path]);
    const packedBytes = readFileSync(`${path}.gz`).length;
    const seen: object[] = [];
    await contentOf({ kind: 'file', path: `${path}.gz` }, { onIntake: (intake) => seen.push(intake) });
    expect(seen.at(-1)).toEqual({ doneBytes: packedBytes, totalBytes: packedBytes });
  });
});

// S90
describe('a checksum', () => {
  test('of the file as it is decides whether anything is imported, however it is read', async () => {
    const { path } = await rawDisk();
    await must('xz', ['-k', '-0', path]);
    await must('zstd', ['-qk', '-1', path]);
    const world = await createWorld();
    for (const file of [path, `${path}.xz`, `${path}.zst`, await convert(path, 'qcow2')]) {
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const hex = createHash(algorithm).update(readFileSync(file)).digest('hex');
        const wrong = `${hex.slice(0, -1)}${hex.endsWith('0') ? '1' : '0'}`;
        for (const source of [
          { kind: 'file', path: file },
          { kind: 'stream', stream: createReadStream(file) },
        ] as const) {
          const options = { source, image: 'vm', checksum: { algorithm, hex: wrong } };
          await expect(importImage(world.repository, options)).rejects.toMatchObject({
            code: 'DAMAGED',
            facts: { algorithm, expected: wrong, found: hex },
          });
        }
        expect(await world.repository.imageNames()).toEqual([]);
        await contentOf({ kind: 'file', path: file }, { checksum: { algorithm, hex } });
      }
    }
    await expectNothingLeft();
  });
});
