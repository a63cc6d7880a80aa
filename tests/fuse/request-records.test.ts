import { expect, test } from '@jest/globals';
import { RequestRecords, type RecordDatabase } from '../../mount/fuse/request-records.js';
import { MemoryDatabase } from '../helpers/memory-database.js';

const RESENT = 1n << 63n;

async function keys(database: RecordDatabase): Promise<string[]> {
  const found: string[] = [];
  for await (const [key] of database.entries('')) found.push(key);
  return found;
}

test('a later daemon of the connection knows what was begun and what was answered, with or without the mark', async () => {
  const database = new MemoryDatabase();
  const first = await RequestRecords.open(database, 'c1');
  await first.begun(10n);
  await first.begun(12n);
  await first.answered(12n, { kind: 'body', body: Buffer.from('reply') });
  await first.begun(14n);
  await first.answered(14n, { kind: 'errno', errno: 17 });

  const next = await RequestRecords.open(database, 'c1');
  expect(next.earlierRun(10n | RESENT)).toEqual({ kind: 'begun' });
  expect(next.earlierRun(12n | RESENT)).toEqual({ kind: 'body', body: Buffer.from('reply') });
  expect(next.earlierRun(14n | RESENT)).toEqual({ kind: 'errno', errno: 17 });
  expect(next.earlierRun(14n)).toEqual({ kind: 'errno', errno: 17 });
  expect(next.earlierRun(16n | RESENT)).toBeUndefined();
});

test('a request that was answered to the kernel is forgotten', async () => {
  const database = new MemoryDatabase();
  const first = await RequestRecords.open(database, 'c1');
  await first.begun(10n);
  await first.forget(10n | RESENT);
  expect((await RequestRecords.open(database, 'c1')).earlierRun(10n)).toBeUndefined();
  expect(await keys(database)).toEqual([]);
});

test('another connection knows nothing of it, and removes what is left', async () => {
  const database = new MemoryDatabase();
  await database.put('tree/node/x', Buffer.from('1'));
  await (await RequestRecords.open(database, 'c1')).begun(10n);
  const other = await RequestRecords.open(database, 'c2');
  expect(other.earlierRun(10n)).toBeUndefined();
  expect(await keys(database)).toEqual(['tree/node/x']);
});
