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
    log: {
      ...silentLog,
      warn: (message, facts) => void lines.push([message, facts]),
      error: (message, facts) => void lines.push([message, facts]),
    },
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

test.each([0, 10, 1000])(
  'a read that fails is a line with the reason, however long it took (--slow-read %i)',
  async (slowMs) => {
    const { reads, lines, told, after } = watch(slowMs);
    const away = new LazydiskError('UNREACHABLE', 'away');
    await expect(reads.timed(SNAPSHOT, 0, 1, after(50, away))).rejects.toBe(away);
    const facts = { image: 'vm', file: '3.raw', offset: 0, lengthBytes: 1, durationMs: 50 };
    expect(lines).toEqual([['A read failed.', { ...facts, errno: 'EIO', error: 'away' }]]);
    expect(told).toEqual([50]);
  },
);

test('a read whose caller went away is a line only when it was slow', async () => {
  const { reads, lines, after } = watch(10);
  const gone = new LazydiskError('ABORTED', 'gone');
  await expect(reads.timed(SNAPSHOT, 0, 1, after(5, gone))).rejects.toBe(gone);
  expect(lines).toEqual([]);
  await expect(reads.timed(SNAPSHOT, 0, 1, after(50, gone))).rejects.toBe(gone);
  const facts = { image: 'vm', file: '3.raw', offset: 0, lengthBytes: 1, durationMs: 50 };
  expect(lines).toEqual([['A read was slow.', { ...facts, errno: 'EINTR' }]]);
});

test('the read that has waited longest is told while it waits', async () => {
  const { reads, after } = watch(0);
  expect(reads.longestWaitMs()).toBe(0);
  let answer: ((bytes: Uint8Array) => void) | undefined;
  const first = reads.timed(HEAD, 0, 1, () => new Promise((resolve) => (answer = resolve)));
  await reads.timed(HEAD, 0, 1, after(20));
  await reads.timed(HEAD, 0, 1, after(22));
  expect(reads.longestWaitMs()).toBe(42);
  answer!(Buffer.from('x'));
  await first;
  expect(reads.longestWaitMs()).toBe(0);
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
