import { expect, test } from '@jest/globals';
import { LazydiskError } from '../../lib/util/errors.js';
import { silentLog } from '../../lib/util/log.js';
import { ReadWatch } from '../../mount/tree/read-watch.js';

const HEAD = { kind: 'head', image: 'vm', imageId: 'i', contentId: 'c' } as const;
const SNAPSHOT = { kind: 'snapshot', image: 'vm', imageId: 'i', number: 3, commitId: 'c' } as const;

/** A watch whose reads take as long as they say. */
function watch(slowMs: number) {
  let nowMs = 0;
  const lines: unknown[] = [];
  const told: number[] = [];
  const reads = new ReadWatch({
    slowMs,
    log: { ...silentLog, warn: (message, facts) => void lines.push([message, facts]) },
    onRead: (durationMs) => void told.push(durationMs),
    clock: () => nowMs,
  });
  const after = (durationMs: number, error?: Error) => (): Promise<Uint8Array> => {
    nowMs += durationMs;
    return error === undefined ? Promise.resolve(Buffer.from('x')) : Promise.reject(error);
  };
  return { reads, lines, told, after };
}

test('a slow read is a line with what was read and how long it took; a fast one is none', async () => {
  const { reads, lines, told, after } = watch(1000);
  expect(await reads.timed(HEAD, 4096, 512, after(999.9))).toEqual(Buffer.from('x'));
  await reads.timed(HEAD, 4096, 512, after(1000.4));
  expect(lines).toEqual([
    ['A read was slow.', { image: 'vm', file: 'disk.raw', offset: 4096, lengthBytes: 512, durationMs: 1000 }],
  ]);
  expect(told).toEqual([999.9, expect.closeTo(1000.4)]);
});

test('a slow read that fails says with what', async () => {
  const { reads, lines, told, after } = watch(10);
  const away = new LazydiskError('UNREACHABLE', 'away');
  await expect(reads.timed(SNAPSHOT, 0, 1, after(50, away))).rejects.toBe(away);
  expect(lines).toEqual([
    ['A read was slow.', { image: 'vm', file: '3.raw', offset: 0, lengthBytes: 1, durationMs: 50, errno: 'EIO' }],
  ]);
  expect(told).toEqual([50]);
});

test('of many slow reads at once, one is a line', async () => {
  const { reads, lines, told, after } = watch(1);
  for (let count = 0; count < 100; count++) await reads.timed(HEAD, 0, 1, after(5));
  expect(lines.length).toBe(1);
  expect(told.length).toBe(100);
});

test('with 0, no line is written, and reads are counted all the same', async () => {
  const { reads, lines, told, after } = watch(0);
  await reads.timed(HEAD, 0, 1, after(1e6));
  expect([lines, told]).toEqual([[], [1e6]]);
});
