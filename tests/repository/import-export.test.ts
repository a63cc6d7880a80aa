import { afterAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { openSource } from '../../lib/disks/open-source.js';
import { exportImage } from '../../lib/repository/export.js';
import { importImage, type ImportOptions } from '../../lib/repository/import.js';
import { memoryKnownPlaces } from '../../lib/repository/known-places.js';
import { CHUNK, createWorld, lockOf, recordOf, type World } from './worlds.js';

const folder = mkdtempSync('/var/tmp/lazydisk-import-');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const newPath = () => join(folder, `file-${++files}`);

function fileOf(bytes: Uint8Array): string {
  const path = newPath();
  writeFileSync(path, bytes);
  return path;
}

/** A sparse file with some data at the given offsets. */
async function sparseFile(sizeBytes: number, pieces: readonly (readonly [number, Uint8Array])[]): Promise<string> {
  const path = newPath();
  const file = await open(path, 'w');
  await file.truncate(sizeBytes);
  for (const [offset, bytes] of pieces) await file.write(bytes, 0, bytes.length, offset);
  await file.close();
  return path;
}

function importFile({ repository }: World, path: string, options: Partial<ImportOptions> = {}) {
  return importImage(repository, { source: { kind: 'file', path }, image: 'vm', ...options });
}

async function exported({ repository }: World, number?: number): Promise<string> {
  const path = newPath();
  await exportImage(repository, { image: 'vm', number, target: { kind: 'file', path } });
  return path;
}

async function exportedBytes({ repository }: World, number?: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const stream = new Writable({
    write(piece: Buffer, _, done) {
      pieces.push(Buffer.from(piece));
      setImmediate(done);
    },
  });
  await exportImage(repository, { image: 'vm', number, target: { kind: 'stream', stream } });
  return Buffer.concat(pieces);
}

const contents = fc
  .tuple(
    fc.integer({ min: 0, max: 6 * CHUNK }),
    fc.array(fc.tuple(fc.nat(6 * CHUNK), fc.uint8Array({ minLength: 1, maxLength: 5000 })), { maxLength: 5 }),
  )
  .map(([sizeBytes, pieces]) => {
    const bytes = Buffer.alloc(sizeBytes);
    for (const [offset, piece] of pieces)
      bytes.set(piece.subarray(0, Math.max(0, sizeBytes - offset)), Math.min(offset, sizeBytes));
    return bytes;
  });

describe('what was imported', () => {
  test('is exported as it was, by file and by stream, whichever came before', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(contents, fc.boolean()), { minLength: 1, maxLength: 4 }), async (versions) => {
        const world = await createWorld();
        for (const [bytes, streamed] of versions) {
          const source = streamed
            ? ({ kind: 'stream', stream: Readable.from([bytes.subarray(0, 777), bytes.subarray(777)]) } as const)
            : ({ kind: 'file', path: fileOf(bytes) } as const);
          // A stream of no bytes is taken for a disk only where that is said: it would hide a sender that has failed.
          const format = bytes.length === 0 ? 'raw' : undefined;
          await importImage(world.repository, { source, image: 'vm', ...(format && { format }) });
        }
        for (const [index, [bytes]] of versions.entries()) {
          expect(readFileSync(await exported(world, index + 1)).equals(bytes)).toBe(true);
          expect((await exportedBytes(world, index + 1)).equals(bytes)).toBe(true);
        }
      }),
      { numRuns: 25 },
    );
  });

  test('keeps its holes: a sparse file is read and written where it has data', async () => {
    const world = await createWorld();
    const sizeBytes = 5 * 1024 ** 3 + 123;
    const data = Buffer.alloc(5000, 7);
    const offsets = [0, 2 * 1024 ** 3 - 2000, 4 * 1024 ** 3 + 1, sizeBytes - 5000];
    const path = await sparseFile(
      sizeBytes,
      offsets.map((offset) => [offset, data]),
    );
    const result = await importFile(world, path);
    expect(result).toMatchObject({ number: 1, sizeBytes, allocatedBytes: 6 * CHUNK });
    const copy = await exported(world);
    // What is allocated is what was written (the file system's own bookkeeping aside), so the rest is holes.
    expect(statSync(copy).size).toBe(sizeBytes);
    expect(statSync(copy).blocks * 512).toBeLessThanOrEqual(statSync(path).blocks * 512 + 32 * 1024);
    const [expected, found] = await Promise.all([open(path), open(copy)]);
    for (const offset of offsets) {
      const begin = Math.max(0, offset - 10_000);
      const [a, b] = [Buffer.alloc(20_000), Buffer.alloc(20_000)];
      await expected.read(a, 0, a.length, begin);
      await found.read(b, 0, b.length, begin);
      expect(b.equals(a)).toBe(true);
    }
    await Promise.all([expected.close(), found.close()]);
  });

  test('becomes the next snapshot, and only what changed is uploaded', async () => {
    const world = await createWorld();
    const bytes = Buffer.alloc(40 * CHUNK);
    for (let at = 0; at < bytes.length; at += 4096) bytes.writeUInt32LE(at + 1, at);
    const first = await importFile(world, fileOf(bytes), { label: 'one' });
    bytes[5 * CHUNK + 10] = 99;
    const second = await importFile(world, fileOf(bytes), { label: 'two' });
    expect(first.number).toBe(1);
    expect(second).toMatchObject({ number: 2, imageId: first.imageId, allocatedBytes: 40 * CHUNK });
    expect(second.uploadedBytes).toBeLessThan(CHUNK + 16 * 1024);
    const record = await world.repository.readRecord('vm', 2);
    expect(record).toMatchObject({ label: 'two', parent: { image: 'vm', number: 1, commitId: first.commitId } });
  });

  test('finds moved data by its known places', async () => {
    const world = await createWorld();
    const known = memoryKnownPlaces();
    const bytes = Buffer.alloc(10 * CHUNK);
    for (let at = 0; at < bytes.length; at += 4096) bytes.writeUInt32LE(at + 1, at);
    await importFile(world, fileOf(bytes), { known });
    const moved = await importFile(world, fileOf(Buffer.concat([Buffer.alloc(CHUNK), bytes])), { known });
    expect(moved.uploadedBytes).toBeLessThan(16 * 1024);
  });

  test('reports its progress', async () => {
    const world = await createWorld();
    const seen: number[] = [];
    const path = fileOf(Buffer.alloc(10 * CHUNK + 5, 1));
    await importFile(world, path, { onProgress: ({ processedBytes }) => seen.push(processedBytes) });
    expect(seen.at(-1)).toBe(10 * CHUNK + 5);
    expect([...seen].sort((a, b) => a - b)).toEqual(seen);
  });
});

describe('an import', () => {
  test('leaves no trace of an image when it fails', async () => {
    const world = await createWorld();
    world.store.inject({ kind: 'fail-before' }, { operation: 'put', key: /^segments/ });
    await expect(importFile(world, fileOf(Buffer.alloc(CHUNK, 1)))).rejects.toMatchObject({ code: 'UNREACHABLE' });
    expect(await world.repository.imageNames()).toEqual([]);
  });

  test('takes the next number when somebody else was faster', async () => {
    const world = await createWorld();
    world.store.inject({ kind: 'stall' }, { operation: 'put', key: /^segments/ });
    const importing = importFile(world, fileOf(Buffer.alloc(CHUNK, 1)));
    await world.store.until(() => world.store.stalledCalls === 1);
    const faster = recordOf();
    await world.repository.publishRecord('vm', faster);
    world.store.releaseStalled();
    expect(await importing).toMatchObject({ number: 2, imageId: faster.imageId });
    expect(readFileSync(await exported(world, 2)).equals(Buffer.alloc(CHUNK, 1))).toBe(true);
  });

  test('takes the next number when somebody publishes at the same moment', async () => {
    const world = await createWorld();
    world.store.inject({ kind: 'stall' }, { operation: 'put', key: 'images/vm/snapshots/00000001.json' });
    const importing = importFile(world, fileOf(Buffer.alloc(CHUNK, 1)));
    await world.store.until(() => world.store.stalledCalls === 1);
    const faster = recordOf();
    await world.repository.publishRecord('vm', faster);
    world.store.releaseStalled();
    expect(await importing).toMatchObject({ number: 2, imageId: faster.imageId });
  });

  test('is refused when somebody has begun to write the image meanwhile', async () => {
    const world = await createWorld();
    world.store.inject({ kind: 'stall' }, { operation: 'put', key: /^segments/ });
    const importing = importFile(world, fileOf(Buffer.alloc(CHUNK, 1)));
    await world.store.until(() => world.store.stalledCalls === 1);
    await world.repository.takeLock('vm', lockOf());
    world.store.releaseStalled();
    await expect(importing).rejects.toMatchObject({ code: 'LOCKED' });
    expect((await world.repository.listImage('vm')).snapshots).toEqual([]);
  });

  test('of a new image only is refused when it lives', async () => {
    const world = await createWorld();
    const path = fileOf(Buffer.from('abc'));
    await importFile(world, path, { newOnly: true });
    await expect(importFile(world, path, { newOnly: true })).rejects.toMatchObject({ code: 'EXISTS' });
  });

  test('is refused while somebody writes the image, and says who', async () => {
    const world = await createWorld();
    await world.repository.takeLock('vm', lockOf({ host: 'blade-7' }));
    await expect(importFile(world, fileOf(Buffer.from('abc')))).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('blade-7'),
    });
  });

  test('of nothing makes an empty image', async () => {
    const world = await createWorld();
    expect(await importFile(world, fileOf(Buffer.alloc(0)))).toMatchObject({ sizeBytes: 0, allocatedBytes: 0 });
    expect(statSync(await exported(world)).size).toBe(0);
  });

  test.each([['a missing file', '/var/tmp/there-is-no-such-file', 'NOT_FOUND']])(
    'of %s says so',
    async (_, path, code) => {
      await expect(importFile(await createWorld(), path)).rejects.toMatchObject({ code });
    },
  );

  test('of a file that changes while it is read is refused', async () => {
    const path = fileOf(Buffer.alloc(20 * CHUNK, 1));
    const source = await openSource({ kind: 'file', path });
    const read = async () => {
      for await (const chunk of source.chunks(CHUNK)) {
        if (chunk !== null) utimesSync(path, 1, 1);
      }
    };
    await expect(read()).rejects.toMatchObject({ code: 'CONFLICT' });
    await source.close();
  });

  test.each([
    ['qcow2', 0, 'QFI\xfb'],
    ['VHD at its end', 2 * CHUNK - 512, 'conectix'],
    ['gzip', 0, '\x1f\x8b\x08'],
    ['tar', 257, 'ustar'],
  ])('takes a disk that looks like %s (%d) as it is when raw is insisted on', async (_, at, magic) => {
    const world = await createWorld();
    const bytes = Buffer.alloc(2 * CHUNK);
    bytes.write(magic, at, 'latin1');
    const sources = [
      { kind: 'file', path: fileOf(bytes) },
      { kind: 'stream', stream: Readable.from([bytes]) },
    ] as const;
    for (const source of sources) {
      await importImage(world.repository, { source, image: 'vm', format: 'raw' });
      expect(readFileSync(await exported(world)).equals(bytes)).toBe(true);
    }
  });

  test('of a fixed VHD from a stream is refused at its end, and leaves nothing', async () => {
    const world = await createWorld();
    const bytes = Buffer.alloc(2 * CHUNK);
    bytes.write('conectix', 2 * CHUNK - 512);
    const source = { kind: 'stream', stream: Readable.from([bytes]) } as const;
    await expect(importImage(world.repository, { source, image: 'vm' })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/VHD.*from a file/),
    });
    expect(await world.repository.imageNames()).toEqual([]);
  });
});

describe('an export', () => {
  test('keeps a target that is there, replaces an empty one, and replaces any when forced', async () => {
    const world = await createWorld();
    await importFile(world, fileOf(Buffer.from('content')));
    const path = fileOf(Buffer.from('precious'));
    const target = { kind: 'file', path } as const;
    await expect(exportImage(world.repository, { image: 'vm', target })).rejects.toMatchObject({ code: 'EXISTS' });
    expect(readFileSync(path, 'utf8')).toBe('precious');
    await exportImage(world.repository, { image: 'vm', target: { ...target, force: true } });
    expect(readFileSync(path, 'utf8')).toBe('content');
    writeFileSync(path, '');
    await exportImage(world.repository, { image: 'vm', target });
    expect(readFileSync(path, 'utf8')).toBe('content');
  });

  test('that meets damage says where and leaves no file', async () => {
    const world = await createWorld();
    await importFile(world, fileOf(Buffer.alloc(CHUNK, 1)));
    const inside = join(mkdtempSync(join(folder, 'inside-')), 'out.raw');
    world.store.inject({ kind: 'flip-bit', bit: 5 }, { operation: 'get', key: /^segments/, skip: 1, times: Infinity });
    await expect(
      exportImage(world.repository, { image: 'vm', target: { kind: 'file', path: inside } }),
    ).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('segments/') });
    expect(readdirSync(join(inside, '..'))).toEqual([]);
  });

  test('fetches a wrong chunk again once', async () => {
    const world = await createWorld();
    await importFile(world, fileOf(Buffer.alloc(CHUNK, 1)));
    world.store.inject({ kind: 'flip-bit', bit: 5 }, { operation: 'get', key: /^segments/, skip: 1 });
    expect(readFileSync(await exported(world)).equals(Buffer.alloc(CHUNK, 1))).toBe(true);
  });

  test('reads neighbours with one ranged get', async () => {
    const world = await createWorld();
    const bytes = Buffer.alloc(32 * CHUNK);
    for (let at = 0; at < bytes.length; at += 4096) bytes.writeUInt32LE(at + 1, at);
    await importFile(world, fileOf(bytes));
    world.store.resetCounts();
    await exported(world);
    expect(world.store.counts.get.requests).toBeLessThanOrEqual(1 + 2); // the leaf, twice 2 MiB at most
  });

  test('to a reader that goes away ends quietly', async () => {
    const world = await createWorld();
    await importFile(world, fileOf(Buffer.alloc(64 * CHUNK, 1)));
    const stream = new PassThrough();
    stream.once('data', () => stream.destroy());
    const result = await exportImage(world.repository, { image: 'vm', target: { kind: 'stream', stream } });
    expect(result.complete).toBe(false);
  });

  test('of an image that is not there says so', async () => {
    const world = await createWorld();
    const target = { kind: 'file', path: newPath() } as const;
    await expect(exportImage(world.repository, { image: 'vm', target })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(exportImage(world.repository, { image: 'vm', number: 3, target })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  test('into a missing folder says so', async () => {
    const world = await createWorld();
    await importFile(world, fileOf(Buffer.from('x')));
    const target = { kind: 'file', path: join(folder, 'no', 'such', 'folder') } as const;
    await expect(exportImage(world.repository, { image: 'vm', target })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
