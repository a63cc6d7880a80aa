import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalDatabase } from '../../lib/mirror/local-database.js';
import { ROOT_NODE } from '../../mount/fuse/file-system.js';
import { NodeIds } from '../../mount/tree/node-ids.js';
import { formatTarget, parseTarget, type Target } from '../../mount/tree/targets.js';
import { MemoryDatabase } from '../helpers/memory-database.js';

const hexId = fc.stringMatching(/^[0-9a-f]{4}$/);
const imageName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,6}$/);
const owner = fc.record({ image: imageName, imageId: hexId });
const target: fc.Arbitrary<Target> = fc.oneof(
  fc.constant<Target>({ kind: 'root' }),
  owner.map((of): Target => ({ kind: 'image', ...of })),
  owner.map((of): Target => ({ kind: 'latest', ...of })),
  fc.tuple(owner, imageName).map(([of, tag]): Target => ({ kind: 'tag', ...of, tag })),
  fc.option(owner).map((of): Target => ({ kind: 'control', owner: of })),
  fc.option(owner).map((of): Target => ({ kind: 'status', owner: of })),
  fc
    .tuple(owner, fc.integer({ min: 1, max: 99_999_999 }), hexId)
    .map(([of, number, commitId]): Target => ({ kind: 'snapshot', ...of, number, commitId })),
  fc
    .tuple(owner, fc.stringMatching(/^[a-z0-9@/:-]{1,8}$/))
    .map(([of, contentId]): Target => ({ kind: 'head', ...of, contentId })),
);

describe('targets', () => {
  test('the text of a target reads back as the same target', () => {
    fc.assert(fc.property(target, (one) => expect(parseTarget(formatTarget(one))).toEqual(one)));
  });

  test('different targets have different texts', () => {
    fc.assert(
      fc.property(target, target, (one, other) => {
        const same =
          JSON.stringify(parseTarget(formatTarget(one))) === JSON.stringify(parseTarget(formatTarget(other)));
        expect(formatTarget(one) === formatTarget(other)).toBe(same);
      }),
    );
  });

  test.each([
    '',
    'image',
    'image/x',
    'snapshot/i/n/0/c',
    'snapshot/i/n/x/c',
    'head/i/n',
    'what/i/n',
    'control/i',
    'tag/i/n',
    'tag/i/n/a/b',
  ])('%j is no target', (text) => expect(parseTarget(text)).toBeUndefined());
});

describe('node ids', () => {
  const folders: string[] = [];
  afterEach(async () => {
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
  });

  // S3: an inode number, once seen, names the same content for ever: through restarts and loss of the host.
  test('what was returned is there after any number of restarts and losses, and nothing else ever gets it', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.array(target, { minLength: 1, maxLength: 5 }) },
      { weight: 1, arbitrary: fc.constant('restart' as const) },
      { weight: 1, arbitrary: fc.constant('lose' as const) },
      { weight: 1, arbitrary: fc.constant('failing-write' as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const database = new MemoryDatabase();
        const seen = new Map<number, string>();
        let ids = await NodeIds.open(database);
        for (const next of steps) {
          if (next === 'lose') database.lose();
          if (next === 'lose' || next === 'restart') ids = await NodeIds.open(database);
          if (next === 'failing-write') {
            database.failure = new Error('the disk failed');
            const fresh: Target = { kind: 'head', image: 'x', imageId: 'f', contentId: String(seen.size) };
            await ids.nodeOf(fresh).catch(() => undefined);
            database.failure = undefined;
          }
          if (typeof next === 'string') continue;
          const nodes = await ids.nodesOf(next);
          nodes.forEach((node, index) => {
            const text = formatTarget(next[index]!);
            expect(seen.get(node) ?? text).toBe(text);
            seen.set(node, text);
          });
          for (const [node, text] of seen) expect(formatTarget(ids.targetOf(node)!)).toBe(text);
        }
        expect(new Set(seen.values()).size).toBe(seen.size);
      }),
    );
  });

  test('the root is 1', async () => {
    const ids = await NodeIds.open(new MemoryDatabase());
    expect(await ids.nodeOf({ kind: 'root' })).toBe(ROOT_NODE);
    expect(ids.targetOf(ROOT_NODE)).toEqual({ kind: 'root' });
  });

  test('callers at the same time get the same number for the same target', async () => {
    const ids = await NodeIds.open(new MemoryDatabase());
    const one: Target = { kind: 'image', image: 'vm', imageId: 'a' };
    const nodes = await Promise.all(Array.from({ length: 50 }, () => ids.nodeOf(one)));
    expect(new Set(nodes).size).toBe(1);
  });

  test('a listing of a thousand entries costs one write, and allocations behind it share the next', async () => {
    const database = new MemoryDatabase();
    const ids = await NodeIds.open(database);
    const image = (number: number): Target => ({ kind: 'image', image: `vm-${number}`, imageId: 'a' });
    const listing = ids.nodesOf(Array.from({ length: 1000 }, (_, index) => image(index)));
    await listing;
    expect(database.writes).toBe(1);
    await Promise.all(Array.from({ length: 100 }, (_, index) => ids.nodeOf(image(2000 + index))));
    expect(database.writes).toBeLessThanOrEqual(3);
  });

  test('a failed write is an error, and the next call succeeds', async () => {
    const database = new MemoryDatabase();
    const ids = await NodeIds.open(database);
    const one: Target = { kind: 'image', image: 'vm', imageId: 'a' };
    database.failure = new Error('the disk failed');
    await expect(ids.nodeOf(one)).rejects.toMatchObject({ code: 'IO' });
    expect(ids.targetOf(16)).toBeUndefined();
    database.failure = undefined;
    const node = await ids.nodeOf(one);
    expect(ids.targetOf(node)).toEqual(one);
  });

  test('ids are found again in a database that was closed and opened', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lazydisk-node-ids-'));
    folders.push(folder);
    const targets: Target[] = [
      { kind: 'image', image: 'vm', imageId: 'a' },
      { kind: 'snapshot', image: 'vm', imageId: 'a', number: 3, commitId: 'c' },
      { kind: 'control', owner: null },
    ];
    const first = await LocalDatabase.open(folder);
    const nodes = await (await NodeIds.open(first)).nodesOf(targets);
    await first.close();
    const second = await LocalDatabase.open(folder);
    const ids = await NodeIds.open(second);
    expect(nodes.map((node) => ids.targetOf(node))).toEqual(targets);
    expect(await ids.nodesOf(targets)).toEqual(nodes);
    const fresh = await ids.nodeOf({ kind: 'head', image: 'vm', imageId: 'a', contentId: 'new' });
    expect(fresh).toBeGreaterThan(Math.max(...nodes));
    await second.close();
  });

  test('a database with something else under its keys is refused', async () => {
    const database = new MemoryDatabase();
    await database.put('tree/node/image/a/vm', Buffer.from('seven'));
    await expect(NodeIds.open(database)).rejects.toMatchObject({ code: 'DAMAGED' });
  });
});
