import { expect, test } from '@jest/globals';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { CountingStore } from '../../mount/service/counting-store.js';

test('requests are counted; a missing key and one that exists are answers, not errors', async () => {
  const store = new CountingStore(new MemoryStore());
  await store.put('a', Buffer.from('1'), { ifAbsent: true });
  await expect(store.put('a', Buffer.from('2'), { ifAbsent: true })).rejects.toMatchObject({ code: 'EXISTS' });
  await expect(store.get('b')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect((await store.get('a')).toString()).toBe('1');
  expect((await store.list('')).objects.length).toBe(1);
  await store.delete('a');
  expect(store.statistics()).toEqual({ requests: 6, errors: 0, lastError: null });
});

test('failures are counted, and the last one is kept with its time', async () => {
  const inner = new MemoryStore();
  inner.get = () => Promise.reject(new LazydiskError('UNREACHABLE', 'away'));
  const store = new CountingStore(inner, () => 1234);
  await expect(store.get('a')).rejects.toMatchObject({ code: 'UNREACHABLE' });
  expect(store.statistics()).toEqual({ requests: 1, errors: 1, lastError: { message: 'away', timeMs: 1234 } });
});
