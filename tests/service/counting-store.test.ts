import { expect, test } from '@jest/globals';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { CountingStore, type StoreCall } from '../../mount/service/counting-store.js';

test('requests are counted; a missing key and one that exists are answers, not errors', async () => {
  const store = new CountingStore(new MemoryStore(), undefined, () => 1234);
  await store.put('a', Buffer.from('1'), { ifAbsent: true });
  await expect(store.put('a', Buffer.from('2'), { ifAbsent: true })).rejects.toMatchObject({ code: 'EXISTS' });
  await expect(store.get('b')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect((await store.get('a')).toString()).toBe('1');
  expect((await store.list('')).objects.length).toBe(1);
  await store.delete('a');
  expect(store.statistics()).toEqual({ requests: 6, errors: 0, lastError: null, lastAnswerMs: 1234 });
});

test('failures are counted, and the last one is kept with its time', async () => {
  const inner = new MemoryStore();
  inner.get = () => Promise.reject(new LazydiskError('UNREACHABLE', 'away'));
  const store = new CountingStore(inner, undefined, () => 1234);
  await expect(store.get('a')).rejects.toMatchObject({ code: 'UNREACHABLE' });
  expect(store.statistics()).toEqual({
    requests: 1,
    errors: 1,
    lastError: { message: 'away', timeMs: 1234 },
    lastAnswerMs: null,
  });
});

test('an answer is what the store said, be it no; of what it left unanswered somebody is told', async () => {
  const inner = new MemoryStore();
  let nowMs = 1;
  let unanswered = 0;
  const store = new CountingStore(inner, undefined, () => nowMs);
  store.onUnanswered = () => void unanswered++;
  await expect(store.get('a')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  nowMs = 2;
  for (const [code, answeredMs, told] of [
    ['UNREACHABLE', 1, 1],
    ['ABORTED', 1, 1],
    ['REFUSED', 2, 1],
  ] as const) {
    inner.get = () => Promise.reject(new LazydiskError(code, 'no'));
    await expect(store.get('a')).rejects.toMatchObject({ code });
    expect([store.statistics().lastAnswerMs, unanswered]).toEqual([answeredMs, told]);
  }
});

test('whoever wants to know is told of every request: its bytes, and how it ended', async () => {
  const calls: Omit<StoreCall, 'durationMs'>[] = [];
  const inner = new MemoryStore();
  const store = new CountingStore(inner, ({ durationMs, ...call }) => {
    expect(durationMs).toBeGreaterThanOrEqual(0);
    calls.push(call);
  });
  await store.put('a', Buffer.from('12345'));
  await store.get('a', { range: { offsetBytes: 1, lengthBytes: 2 } });
  await expect(store.get('b')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  inner.list = () => Promise.reject(new LazydiskError('REFUSED', 'no'));
  await expect(store.list('')).rejects.toMatchObject({ code: 'REFUSED' });
  inner.delete = () => Promise.reject(new LazydiskError('ABORTED', 'given up'));
  await expect(store.delete('a')).rejects.toMatchObject({ code: 'ABORTED' });
  const nothing = { failure: null, receivedBytes: 0, sentBytes: 0 };
  expect(calls).toEqual([
    { ...nothing, operation: 'put', sentBytes: 5 },
    { ...nothing, operation: 'get', receivedBytes: 2 },
    { ...nothing, operation: 'get' },
    { ...nothing, operation: 'list', failure: 'REFUSED' },
    { ...nothing, operation: 'delete', failure: 'ABORTED' },
  ]);
  expect(store.statistics().errors).toBe(1);
});
