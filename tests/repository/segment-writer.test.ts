/** The memory of segments, and their sizes. What stands in them: snapshot-writer.test.ts, verify.test.ts. */
import { expect, test } from '@jest/globals';
import PQueue from 'p-queue';
import { sha256 } from '../../lib/format/checksums.js';
import { SegmentWriter } from '../../lib/repository/segment-writer.js';
import type { ObjectStore } from '../../lib/store/object-store.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { pseudoRandom } from '../util/zstd/payloads.js';

const KIB = 1024;

/** A writer of segments of 1 MiB over a store whose first put fails; `puts` is what was put: which memory, how much of it. */
function createWriter(fails: 'never' | 'the first put') {
  const puts: { memory: ArrayBufferLike; bytes: number }[] = [];
  const errors: unknown[] = [];
  const memory = new MemoryStore();
  const store = {
    put: (key: string, bytes: Uint8Array) => {
      puts.push({ memory: bytes.buffer, bytes: bytes.length });
      if (fails === 'the first put' && puts.length === 1) return Promise.reject(new Error('gone'));
      return memory.put(key, bytes);
    },
  } as unknown as ObjectStore;
  const writer = new SegmentWriter({
    store,
    uploads: new PQueue({ concurrency: 2 }),
    kind: 'chunks',
    signal: new AbortController().signal,
    onUploaded: () => undefined,
    onError: (error) => errors.push(error),
    targetBytes: 1024 * KIB,
  });
  const append = (chunks: number): void => {
    for (let chunk = 0; chunk < chunks; chunk++) {
      const stored = pseudoRandom(64 * KIB);
      writer.append(sha256(stored), { codec: 'none', stored }, stored.length);
    }
  };
  return { writer, append, puts, errors };
}

test('the first segments are small, so that the upload begins early', async () => {
  const { writer, append, puts } = createWriter('never');
  append(48);
  await writer.close();
  const sizes = puts.map(({ bytes }) => Math.round(bytes / KIB / 64));
  expect(sizes).toEqual([4, 8, 16, 16, 4]);
});

test('the memory of a segment is used again when it has been put, and never while it is being put', async () => {
  const { writer, append, puts } = createWriter('never');
  append(48);
  expect(new Set(puts.map(({ memory }) => memory)).size).toBe(puts.length);
  await writer.close();
  const used = new Set(puts.map(({ memory }) => memory));
  append(20);
  await writer.close();
  expect(used.has(puts.at(-1)!.memory)).toBe(true);
});

test('the memory of a put that failed is not used again', async () => {
  const { writer, append, puts, errors } = createWriter('the first put');
  append(1);
  await writer.close();
  append(1);
  await writer.close();
  expect(errors).toHaveLength(1);
  expect(puts).toHaveLength(2);
  expect(puts[1]!.memory).not.toBe(puts[0]!.memory);
});
