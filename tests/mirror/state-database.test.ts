import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalDatabase } from '../../lib/mirror/local-database.js';
import { openStateDatabase, SALVAGED_KEY } from '../../lib/mirror/state-database.js';
import { silentLog } from '../../lib/util/log.js';
import { NodeIds } from '../../mount/tree/node-ids.js';

const NOW_MS = 1_800_000_000_000;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lazydisk-state-database-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const file = (pattern: RegExp): string =>
  join(
    directory,
    readdirSync(directory).find((name) => pattern.test(name))!,
  );
const open = (): Promise<LocalDatabase> => openStateDatabase(directory, silentLog, () => NOW_MS);
const image = (n: number) => ({ kind: 'image', imageId: n.toString(16).padStart(32, '0'), image: `vm-${n}` }) as const;

/** A database with node ids in its tables. Resolves to the ids. */
async function used(): Promise<number[]> {
  const database = await open();
  const ids = await NodeIds.open(database);
  const nodes = await ids.nodesOf(Array.from({ length: 3000 }, (_, n) => image(n)));
  await database.put('place/last', Buffer.from('place'), { sync: true });
  await database.close();
  await inTables();
  return nodes;
}

/** What is in the log goes to a table when it is opened anew. */
async function inTables(): Promise<void> {
  await (await open()).close();
}

function spoil(path: string, from: number, lengthBytes: number): void {
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.fill(0x55, from, from + lengthBytes));
}

// S71
describe('a database of a state directory that is damaged', () => {
  test.each([
    ['its manifest', () => writeFileSync(file(/^MANIFEST/), 'not a manifest')],
    ['its first file, which is gone', () => rmSync(join(directory, 'CURRENT'))],
    ['a block of a table', () => spoil(file(/\.ldb$/), 2000, 400)],
    ['a table, which is gone', () => rmSync(file(/\.ldb$/))],
    ['all of it', () => readdirSync(directory).forEach((name) => writeFileSync(join(directory, name), 'x'))],
  ])(
    'in %s is opened all the same; what it names still has its number, and no number names anything else',
    async (_, damage) => {
      const before = await used();
      damage();
      const lines: string[] = [];
      const log = { ...silentLog, error: (message: string) => void lines.push(message) };
      const database = await openStateDatabase(directory, log, () => NOW_MS);
      expect(lines).toEqual([expect.stringContaining('No written data is in it')]);
      const ids = await NodeIds.open(database);
      const given = new Set(before);
      for (let n = 0; n < before.length; n += 250) {
        const node = await ids.nodeOf(image(n));
        if (node !== before[n]) expect({ n, isNew: !given.has(node) }).toEqual({ n, isNew: true });
      }
      const fresh = await ids.nodeOf(image(99_999));
      expect(given.has(fresh)).toBe(false);
      expect(Number.isSafeInteger(fresh)).toBe(true);
      await database.close();
      // It is sound from now on, and remembers.
      const again = await open();
      expect((await again.get(SALVAGED_KEY))?.toString()).toBe(String(NOW_MS));
      expect(await (await NodeIds.open(again)).nodeOf(image(99_999))).toBe(fresh);
      await again.close();
    },
  );

  test('loses no number when only the manifest is gone: everything is in the tables', async () => {
    const before = await used();
    writeFileSync(file(/^MANIFEST/), '');
    const database = await open();
    const ids = await NodeIds.open(database);
    expect(await ids.nodesOf(before.map((__, n) => image(n)))).toEqual(before);
    expect((await database.get('place/last'))?.toString()).toBe('place');
    await database.close();
  });

  test('elsewhere says so where it is met, and is salvaged at the next open', async () => {
    const database = await open();
    await database.put('node/before', Buffer.alloc(64 * 1024, 'n')); // a block of its own, the one that a start reads
    await database.put('place/a', Buffer.alloc(64 * 1024, 'a'));
    await database.put('place/b', Buffer.alloc(64 * 1024, 'b'));
    await database.put('place/c', Buffer.from('c'), { sync: true });
    await database.close();
    await inTables();
    spoil(file(/\.ldb$/), 3400, 2000);
    const damaged = await open();
    await expect(damaged.getMany(['place/a', 'place/b'])).rejects.toMatchObject({ code: 'DAMAGED' });
    await damaged.close();
    const salvaged = await open();
    expect(await salvaged.get(SALVAGED_KEY)).toBeDefined();
    expect((await salvaged.get('place/c'))?.toString()).toBe('c');
    await salvaged.put('place/d', Buffer.from('d'), { sync: true });
    await salvaged.close();
  });

  test('is salvaged again when the process was killed before it counted as sound', async () => {
    await used();
    writeFileSync(file(/^MANIFEST/), '');
    await expect(
      LocalDatabase.salvage(
        directory,
        () => new Promise((_, reject) => setImmediate(() => reject(new Error('killed')))),
      ),
    ).rejects.toThrow('killed');
    await expect(LocalDatabase.open(directory)).rejects.toMatchObject({ code: 'DAMAGED' });
    const database = await open();
    expect(await database.get(SALVAGED_KEY)).toBeDefined();
    await database.close();
  });
});

test('of two that open a damaged database at once, one salvages it and the other is BUSY', async () => {
  await used();
  writeFileSync(file(/^MANIFEST/), '');
  const opened = await Promise.allSettled([open(), open()]);
  const fulfilled = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const reasons = opened.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  expect(fulfilled).toHaveLength(1);
  expect(reasons).toEqual([expect.objectContaining({ code: 'BUSY' })]);
  await fulfilled[0]!.close();
});
