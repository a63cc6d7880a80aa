/**
 * The image beside a plain buffer: any sequence of reads, writes of any alignment, punches, zero ranges, size changes,
 * fsyncs, commits, failed commits, clones, reverts, crashes and restarts shows what the buffer shows. The mirror's quota is
 * smaller than the image, so chunks come and go all the time. A failing run prints its seed and path.
 */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import type { Disk, Head } from '../../lib/image/api.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { CHUNK, ImageWorld } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const MAX_SIZE = 12 * CHUNK;
const RUNS = Number(process.env['LAZYDISK_MODEL_RUNS'] ?? 60);

interface World {
  readonly world: ImageWorld;
  head: Head;
  bytes: Buffer;
  /** What the newest snapshot (the base) holds; null before the first commit. */
  base: Buffer | null;
  /** What the last round has covered; null when something came later that a reboot may lose or keep. */
  synced: boolean;
  clones: number;
}

const offset = fc.oneof(
  fc.nat(MAX_SIZE),
  fc.nat(MAX_SIZE / 4096).map((block) => block * 4096),
  fc.nat(MAX_SIZE / 512).map((sector) => sector * 512),
);
const length = fc.oneof(
  fc.integer({ min: 1, max: 9000 }),
  fc.integer({ min: 1, max: 40 }).map((blocks) => blocks * 4096),
  fc.integer({ min: 1, max: 64 }).map((sectors) => sectors * 512),
);

const action = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('write' as const), offset, length, fill: fc.nat(255) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('read' as const), offset, length }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('punch' as const), offset, length }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('zero' as const), offset, length, keepSize: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('truncate' as const), offset }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('fsync' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('commit' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('failed-commit' as const), skip: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('answer-lost' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revert' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clone' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const), newBoot: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), newBoot: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('extents' as const) }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

test('an image shows what a plain buffer shows, whatever is done to it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 40, size: 'max' }), async (actions) => {
      const world = await ImageWorld.open(temporaryFolder('model'), { quotaBytes: 4 * CHUNK });
      const image = await world.catalogue.create('disk');
      await image.createHead();
      const state: World = {
        world,
        head: await world.openHead('disk'),
        bytes: Buffer.alloc(0),
        base: null,
        synced: true,
        clones: 0,
      };
      try {
        for (const step of actions) await apply(state, step);
        await compare(state.head, state.bytes);
      } finally {
        await world.close();
      }
    }),
    { numRuns: RUNS },
  );
}, 600_000);

async function apply(state: World, step: Action): Promise<void> {
  const { head, world } = state;
  switch (step.do) {
    case 'write': {
      const end = Math.min(step.offset + step.length, MAX_SIZE);
      if (end <= step.offset) return;
      const bytes = Buffer.alloc(end - step.offset, step.fill);
      // Every byte tells where it belongs.
      for (let at = 0; at < bytes.length; at += 512) bytes.writeUInt8(Math.floor((step.offset + at) / 512) & 0xff, at);
      await head.write(step.offset, bytes);
      state.bytes = resized(state.bytes, Math.max(state.bytes.length, end));
      bytes.copy(state.bytes, step.offset);
      state.synced = false;
      return;
    }
    case 'read': {
      const got = await head.read(step.offset, step.length);
      expectSame(got, state.bytes.subarray(step.offset, step.offset + step.length), step.offset);
      return;
    }
    case 'punch':
      await head.punch(step.offset, step.length);
      state.bytes.fill(
        0,
        Math.min(step.offset, state.bytes.length),
        Math.min(step.offset + step.length, state.bytes.length),
      );
      state.synced = false;
      return;
    case 'zero': {
      await head.zeroRange(step.offset, step.length, step.keepSize);
      const end = step.offset + step.length;
      if (!step.keepSize) state.bytes = resized(state.bytes, Math.max(state.bytes.length, end));
      state.bytes.fill(0, Math.min(step.offset, state.bytes.length), Math.min(end, state.bytes.length));
      state.synced = false;
      return;
    }
    case 'truncate':
      await head.truncate(step.offset);
      state.bytes = resized(state.bytes, step.offset);
      state.synced = false;
      return;
    case 'fsync':
      await head.fsync();
      state.synced = true;
      return;
    case 'commit': {
      const image = (await world.catalogue.find('disk'))!;
      const outcome = await image.commit({ label: 'model' });
      state.base = Buffer.from(state.bytes);
      const snapshot = await image.snapshot(outcome.number);
      await compare(snapshot, state.bytes);
      expect(head.isDirty()).toBe(false);
      return;
    }
    case 'failed-commit': {
      if (!head.isDirty() && state.base !== null) return;
      const image = (await world.catalogue.find('disk'))!;
      world.store.inject({ kind: 'fail-before' }, { operation: 'put', times: Infinity, skip: step.skip });
      const outcome = await image.commit({}).catch((error: unknown) => error);
      world.store.clearFaults();
      if (!(outcome instanceof Error)) state.base = Buffer.from(state.bytes);
      await compare(head, state.bytes);
      return;
    }
    case 'answer-lost': {
      if (!head.isDirty() && state.base !== null) return;
      const image = (await world.catalogue.find('disk'))!;
      world.store.inject({ kind: 'fail-after' }, { operation: 'put', key: /snapshots/ });
      await image.commit({}).catch(() => undefined);
      world.store.clearFaults();
      await compare(head, state.bytes);
      // Whether it counted is told by the next commit, which adopts it: the snapshot is there, with this content.
      await image.commit({});
      state.base = Buffer.from(state.bytes);
      await compare(head, state.bytes);
      return;
    }
    case 'revert': {
      const image = (await world.catalogue.find('disk'))!;
      closeHead(state);
      await image.revert();
      state.bytes = Buffer.from(state.base ?? Buffer.alloc(0));
      state.synced = true;
      state.head = await world.openHead('disk');
      await compare(state.head, state.bytes);
      return;
    }
    case 'clone': {
      if (state.base === null) return;
      const name = `clone-${state.clones++}`;
      const number = (await (await world.catalogue.find('disk'))!.snapshots()).at(-1)!;
      await world.catalogue.clone('disk', name, { number });
      const clone = await world.openHead(name);
      await compare(clone, state.base);
      await clone.write(0, Buffer.alloc(4096, 7));
      clone.closeForWriting();
      clone.closed();
      await compare(head, state.bytes);
      return;
    }
    case 'reopen':
      closeHead(state);
      await world.reopen({ newBoot: step.newBoot });
      state.synced = true;
      state.head = await world.openHead('disk');
      await compare(state.head, state.bytes);
      return;
    case 'crash': {
      if (step.newBoot && !state.synced) return;
      await world.crash({ newBoot: step.newBoot });
      state.head = await world.openHead('disk');
      await compare(state.head, state.bytes);
      return;
    }
    case 'extents':
      await compareExtents(head, state.bytes);
  }
}

function closeHead(state: World): void {
  state.head.closeForWriting();
  state.head.closed();
}

/** Every byte outside the data extents is zero; the extents are what st_blocks counts. */
async function compareExtents(head: Head, bytes: Buffer): Promise<void> {
  const allocated = await head.allocatedBytes();
  let counted = 0;
  let position = 0;
  while (position < bytes.length) {
    const data = await head.seek(position, 'data');
    const holeEnd = data ?? bytes.length;
    expect(bytes.subarray(position, holeEnd).every((byte) => byte === 0)).toBe(true);
    if (data === undefined) break;
    const hole = (await head.seek(data, 'hole'))!;
    expect(hole).toBeGreaterThan(data);
    counted += hole - data;
    position = hole;
  }
  expect(await head.seek(bytes.length, 'data')).toBeUndefined();
  // Extents end with the disk, allocation with its last chunk.
  expect(Math.abs(allocated - counted)).toBeLessThanOrEqual(CHUNK);
}

async function compare(disk: Disk, bytes: Buffer): Promise<void> {
  expect(disk.sizeBytes()).toBe(bytes.length);
  expectSame(await disk.read(0, Math.max(1, bytes.length)), bytes, 0);
}

function expectSame(got: Uint8Array, wanted: Uint8Array, start: number): void {
  const gotBytes = Buffer.from(got.buffer, got.byteOffset, got.length);
  if (gotBytes.equals(wanted)) return;
  let at = 0;
  while (at < got.length && got[at] === wanted[at]) at++;
  throw new Error(
    `differs at ${start + at} (block ${Math.floor((start + at) / 4096)}): ${got[at]} instead of ${wanted[at]}; ` +
      `lengths ${got.length} and ${wanted.length}`,
  );
}

function resized(bytes: Buffer, size: number): Buffer {
  const next = Buffer.alloc(size);
  bytes.copy(next, 0, 0, Math.min(size, bytes.length));
  return next;
}
