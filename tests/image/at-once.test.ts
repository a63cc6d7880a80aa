/**
 * Everything at once on one host: lanes write, punch and read sectors that lie beside one another in the same blocks and chunks,
 * one more lane moves the end of the disk, while commits, clones, hydrations and evictions go on and a slow store fails now and
 * then. What each lane reads is what it wrote last; each snapshot holds, sector by sector, something between what had been
 * answered before the commit was asked for and what was asked for before its cut. A failing run prints its seed.
 */
import { expect, test } from '@jest/globals';

import type { Disk, Head, Image } from '../../lib/image/api.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { hasCode } from '../../lib/util/errors.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { CHUNK, codeOf, ImageWorld, shut } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';
import {
  diceOf,
  resized,
  SECTOR,
  SECTORS,
  Sectors,
  stamped,
  STRIPE,
  STRIPES,
  Tail,
  TAIL_START,
  type Dice,
} from './versioned-disk.js';

cleanUpAfter('each');

const SEED = Number(process.env['LAZYDISK_SEED'] ?? Date.now() % 1_000_000);
const COMMITS = Number(process.env['LAZYDISK_AT_ONCE_COMMITS'] ?? 5);
const LANES = 4;
const TAIL_MOST = 3 * CHUNK + 777;

class Run {
  operations = 0;
  commits = 0;
  failures = 0;
  isGivenUp = false;
  readonly sectors = new Sectors();
  readonly tail = new Tail();

  constructor(
    readonly world: ImageWorld,
    readonly image: Image,
    readonly head: Head,
  ) {}

  /** Not before something has failed. */
  get isOver(): boolean {
    return this.isGivenUp || (this.commits >= COMMITS && this.failures > 0);
  }
}

/** A store in no hurry, which fails one call in so many, before or after it has had its effect. */
function unreliable(store: FaultyStore, dice: Dice): { calm: () => void } {
  let failing = true;
  const wrap = <A extends unknown[], T>(call: (...args: A) => Promise<T>) => {
    return async (...args: A): Promise<T> => {
      for (let turns = dice(4); turns > 0; turns--) await turn();
      const fate = failing ? dice(60) : -1;
      if (fate === 0) store.inject({ kind: 'fail-before' });
      if (fate === 1) store.inject({ kind: 'fail-after' });
      return call(...args);
    };
  };
  store.get = wrap(store.get.bind(store));
  store.put = wrap(store.put.bind(store));
  store.list = wrap(store.list.bind(store));
  return {
    calm: () => {
      failing = false;
      store.clearFaults();
    },
  };
}

/** Tries again while the store fails. */
async function whatever<T>(run: Run, job: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await job();
    } catch (error) {
      if (!hasCode(error, 'UNREACHABLE', 'ABORTED')) throw error;
      run.failures++;
    }
  }
}

async function lane(run: Run, index: number, dice: Dice): Promise<void> {
  const { head, sectors } = run;
  while (!run.isOver) {
    run.operations++;
    await turn();
    const stripe = dice(STRIPES / LANES) * LANES + index;
    const from = dice(STRIPE);
    const first = stripe * STRIPE + from;
    const count = 1 + dice(STRIPE - from);
    const offset = first * SECTOR;
    const lengthBytes = count * SECTOR;
    const kind = dice(10);
    // Somebody who does not wait to the end.
    const signal = dice(20) === 0 ? AbortSignal.timeout(dice(3)) : undefined;
    let done: Promise<void> | undefined;
    if (kind < 5) {
      const parts = Array.from({ length: count }, (_, at) => stamped(first + at, sectors.begin(first + at, false)));
      done = head.write(offset, Buffer.concat(parts), signal);
    } else if (kind < 7) {
      for (let at = 0; at < count; at++) sectors.begin(first + at, true);
      done = kind === 5 ? head.punch(offset, lengthBytes, signal) : head.zeroRange(offset, lengthBytes, true, signal);
    } else if (kind === 7 && dice(4) === 0) {
      await head.fsync();
    } else if (kind === 8) {
      const found = await whatever(run, () => head.seek(offset, 'data'));
      if (found !== undefined && found < offset) throw new Error(`data at ${found} before ${offset}`);
    }
    const failed = await (done ?? Promise.resolve()).then(
      () => false,
      (error: unknown) => {
        if (!hasCode(error, 'UNREACHABLE', 'ABORTED')) throw error;
        run.failures++;
        return true;
      },
    );
    const bytes = Buffer.from(await whatever(run, () => head.read(offset, lengthBytes)));
    for (let at = 0; at < count; at++) {
      const sector = first + at;
      const least = failed || done === undefined ? sectors.answered[sector]! : sectors.issued[sector]!;
      const found = sectors.find(
        sector,
        bytes.subarray(at * SECTOR, (at + 1) * SECTOR),
        least,
        sectors.issued[sector]!,
      );
      if (found === undefined) {
        throw new Error(
          `sector ${sector} is none of versions ${least} to ${sectors.issued[sector]}: ${bytes.toString('hex', at * SECTOR, at * SECTOR + 8)}`,
        );
      }
      sectors.answered[sector] = found;
      if (failed && found !== sectors.issued[sector]) sectors.forget(sector, sectors.issued[sector]!);
    }
  }
}

/** Moves the end of the disk, by itself. */
async function tailLane(run: Run, dice: Dice): Promise<void> {
  const { head, tail } = run;
  while (!run.isOver) {
    run.operations++;
    await turn();
    const before = tail.bytes;
    const kind = dice(4);
    let after: Buffer;
    let change: () => Promise<void>;
    if (kind === 0) {
      const size = dice(TAIL_MOST);
      after = resized(before, size);
      change = () => head.truncate(TAIL_START + size);
    } else if (kind === 1) {
      const at = dice(before.length + 5000);
      const length = Math.min(1 + dice(30_000), TAIL_MOST - at);
      if (length <= 0) continue;
      after = resized(before, Math.max(before.length, at + length)).fill(0, at, at + length);
      change = () => head.zeroRange(TAIL_START + at, length, false);
    } else {
      const at = Math.min(dice(before.length + 9000), TAIL_MOST - 1);
      const length = Math.min(1 + dice(30_000), TAIL_MOST - at);
      const bytes = Buffer.alloc(length, 1 + dice(255));
      after = resized(before, Math.max(before.length, at + length));
      bytes.copy(after, at);
      change = () => head.write(TAIL_START + at, bytes);
    }
    tail.states.push(after);
    await whatever(run, change);
    tail.answered = tail.states.length - 1;
    expect(head.sizeBytes()).toBe(TAIL_START + after.length);
    if (after.length === 0) continue;
    const bytes = Buffer.from(await whatever(run, () => head.read(TAIL_START, TAIL_MOST)));
    expect(bytes.equals(after)).toBe(true);
  }
}

interface Moment {
  readonly sectors: Uint32Array;
  readonly tail: number;
}

async function committer(run: Run, dice: Dice): Promise<void> {
  const { image, sectors, tail } = run;
  while (!run.isOver) {
    const least: Moment = { sectors: sectors.answered.slice(), tail: tail.answered };
    const issued = (): Moment => ({ sectors: sectors.issued.slice(), tail: tail.states.length - 1 });
    let most: Moment | undefined;
    const as = dice(5) === 0 ? `copy-${run.commits}-${run.failures}` : undefined;
    const outcome = await image
      .commit({
        as,
        onCut: () => {
          most = issued();
        },
      })
      .catch((error: unknown) => {
        if (hasCode(error, 'UNREACHABLE', 'BUSY', 'EXISTS')) return undefined;
        throw error;
      });
    if (outcome === undefined) {
      run.failures++;
      continue;
    }
    run.commits++;
    most ??= issued();
    const published = as === undefined ? image : (await whatever(run, () => run.world.catalogue.find(as)))!;
    const snapshot = await whatever(run, () => published.snapshot(outcome.number));
    await compare(run, snapshot, least, most);
  }
}

/** Looks at every sector of a snapshot. */
async function compare(run: Run, disk: Disk, least: Moment, most: Moment): Promise<void> {
  const bytes = Buffer.from(await whatever(run, () => disk.read(0, TAIL_START + TAIL_MOST)));
  expect(bytes.length).toBe(disk.sizeBytes());
  for (let sector = 0; sector < SECTORS; sector++) {
    const part = bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR);
    if (run.sectors.find(sector, part, least.sectors[sector]!, most.sectors[sector]!) === undefined) {
      throw new Error(`sector ${sector} of a snapshot is none of ${least.sectors[sector]} to ${most.sectors[sector]}`);
    }
  }
  expect(run.tail.has(bytes.subarray(TAIL_START), least.tail, most.tail)).toBe(true);
}

/** Clones on this host that live for a moment: what they write is theirs, what they do not write is the snapshot's. */
async function visitor(run: Run, dice: Dice): Promise<void> {
  const { world } = run;
  for (let visit = 0; !run.isOver; visit++) {
    const name = `visitor-${visit}`;
    const number = (await whatever(run, () => run.image.snapshots())).at(-1)!;
    const source = await whatever(run, () => run.image.snapshot(number));
    await whatever(run, () => world.catalogue.clone('disk', name, { number, local: true }));
    const image = (await whatever(run, () => world.catalogue.find(name)))!;
    for (let round = 0; round < 3 && !run.isOver; round++) {
      const head = await world.openHead(name);
      const at = dice(TAIL_START - 9000);
      const length = 1 + dice(9000);
      const expected = Buffer.from(await whatever(run, () => source.read(0, TAIL_START)));
      await whatever(run, () => head.write(at, Buffer.alloc(length, 99)));
      expected.fill(99, at, at + length);
      expect(Buffer.from(await whatever(run, () => head.read(0, TAIL_START))).equals(expected)).toBe(true);
      shut(head);
      await whatever(run, () => image.revert());
    }
    await whatever(run, () => world.catalogue.remove(name));
  }
}

/** Takes and gives room, and asks what is where. */
async function housekeeper(run: Run, dice: Dice): Promise<void> {
  const { image, head, world } = run;
  while (!run.isOver) {
    const kind = dice(4);
    if (kind === 0) await world.mirror.giveWay(dice(4) * CHUNK);
    else if (kind === 1) await whatever(run, () => head.allocatedBytes());
    else if (kind === 2) await whatever(run, () => image.status());
    else
      await image.hydrate().catch((error: unknown) => {
        if (!hasCode(error, 'UNREACHABLE', 'NO_SPACE', 'ABORTED')) throw error;
      });
    await pause(5);
  }
}

/** Requests come one by one, not all in one turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// S2, S22, S27, S29, S31
test('lanes that share blocks, a moving end, commits, clones and evictions at once lose and mix up nothing', async () => {
  const store = new FaultyStore(new MemoryStore());
  const folder = temporaryFolder('at-once');
  const world = await ImageWorld.open(folder, { store, quotaBytes: 6 * CHUNK });
  const image = await world.catalogue.create('disk');
  await image.createHead();
  const head = await world.openHead('disk');
  await head.truncate(TAIL_START);
  await image.commit({});
  const run = new Run(world, image, head);
  const { calm } = unreliable(store, diceOf(SEED + 1));
  const lanes = Array.from({ length: LANES }, (_, index) => lane(run, index, diceOf(SEED + 10 + index)));
  const others = [tailLane, committer, visitor, housekeeper].map((job, index) => job(run, diceOf(SEED + 20 + index)));
  try {
    await Promise.all([...lanes, ...others]);
  } catch (error) {
    run.isGivenUp = true;
    throw new Error(`seed ${SEED}: ${String(error)}`, { cause: error });
  }
  calm();
  const now: Moment = { sectors: run.sectors.answered, tail: run.tail.answered };
  await compare(run, head, now, now);
  const { number } = await image.commit({});
  await compare(run, await image.snapshot(number), now, now);
  const { evictedChunks } = world.mirror.statistics();
  console.log(JSON.stringify({ seed: SEED, commits: run.commits, failures: run.failures, evictedChunks }));
  expect(evictedChunks).toBeGreaterThan(0);
  // What was written after the last commit is there after a kill, too.
  await head.write(TAIL_START + 5, Buffer.from('last words'));
  await world.crash();
  const again = await world.openHead('disk');
  expect(Buffer.from(await again.read(TAIL_START + 5, 10)).toString()).toBe('last words');
  expect(await codeOf(world.catalogue.remove('disk'))).toBe('CONFLICT');
  shut(again);
  await world.close();
});
