/**
 * Collection among others: hosts import, commit, clone, delete, undelete and collect at the same time, interleaved at every
 * call to the store, in simulated time, and are killed now and then. Whatever happens, every snapshot that lives, and every
 * deleted one that can be undone, is whole; no number is used twice; and in the end nothing dead is left.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { randomId } from '../../lib/format/checksums.js';
import { parseKey } from '../../lib/format/keys.js';
import { decodeSnapshotRecord } from '../../lib/format/snapshot-record.js';
import type { KnownPlaces, Repository } from '../../lib/repository/api.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { collectRepository } from '../../lib/repository/collection.js';
import { isEmptied } from '../../lib/repository/deletion.js';
import { importImage } from '../../lib/repository/import.js';
import { memoryKnownPlaces } from '../../lib/repository/known-places.js';
import { initRepository } from '../../lib/repository/repository.js';
import { PUBLISH_WINDOW_MS } from '../../lib/repository/reliance.js';
import { StoredRepository } from '../../lib/repository/stored-repository.js';
import { verifyRepository } from '../../lib/repository/verify.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { hasCode, LazydiskError } from '../../lib/util/errors.js';
import { GatedStore, type GatedCall } from '../helpers/gated-store.js';
import { CHUNK, chunkOf, keysOf, recordOf } from './worlds.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const HOSTS = 3;
const AT_ONCE = 5;
const IMAGES = ['a', 'b', 'c', 'd'];
/** A put that takes longer is given up; it may have its effect until then. */
const LONGEST_PUT_MS = PUBLISH_WINDOW_MS;
const OPERATIONS = 60;
const MAX_CHUNKS = 6;
/** So few different chunks that hosts meet ones whose place they remember, often one that is dead. */
const SEEDS = 5;

/** Mulberry32. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

class Simulation {
  nowMs = 1_000_000_000_000;
  readonly random: (below: number) => number;
  readonly memory: MemoryStore;
  /** What a host remembers survives its operations, and its kills. */
  readonly known: readonly KnownPlaces[] = Array.from({ length: HOSTS }, () => memoryKnownPlaces());
  readonly #running = new Map<GatedStore, Promise<void>>();
  /** Hosts on a bad link: the others do much while they do little. */
  readonly #slow = new Set<GatedStore>();
  readonly #published = new Map<string, string>();
  readonly counts = new Map<string, number>();
  marker!: StoredRepository['marker'];

  constructor(seed: number) {
    this.random = randomNumbers(seed);
    this.memory = new MemoryStore('memory:', () => this.nowMs);
  }

  async run(): Promise<void> {
    this.marker = (await initRepository(this.memory, { chunkSizeBytes: CHUNK, compression: 'none' })).repository.marker;
    for (let begun = 0; begun < OPERATIONS || this.#running.size > 0;) {
      if (begun < OPERATIONS && this.#running.size < AT_ONCE && this.random(3) > 0) {
        this.#begin(this.random(HOSTS));
        begun++;
      } else if (this.#running.size > 0) {
        await this.#step();
      }
    }
  }

  /** A repository as a host sees it that has nothing in memory. */
  open(store: GatedStore | MemoryStore): StoredRepository {
    return new StoredRepository(store, this.marker, undefined, () => {
      const startedMs = this.nowMs;
      return () => this.nowMs - startedMs;
    });
  }

  /** Everything that lives or can be undone is whole, and no number has changed its content. */
  async check(): Promise<void> {
    const report = await verifyRepository(this.open(this.memory));
    expect(report.damages).toEqual([]);
    for (const key of await keysOf(this.memory, 'images/')) {
      if (parseKey(key)?.kind !== 'snapshot') continue;
      const bytes = await this.memory.get(key);
      if (isEmptied(bytes)) continue;
      const { commitId } = decodeSnapshotRecord(bytes, key);
      expect([key, this.#published.get(key) ?? commitId]).toEqual([key, commitId]);
      this.#published.set(key, commitId);
    }
  }

  #begin(host: number): void {
    const store = new GatedStore(this.memory, () => this.nowMs);
    const operations: readonly [string, (repository: Repository, known: KnownPlaces) => Promise<unknown>][] = [
      ['import', (repository, known) => this.#import(repository, known)],
      ['import', (repository, known) => this.#import(repository, known)],
      ['commit', (repository, known) => this.#commit(repository, known)],
      ['clone', (repository) => this.#clone(repository)],
      ['delete', (repository) => this.#delete(repository)],
      ['delete', (repository) => this.#delete(repository)],
      ['undelete', (repository) => this.#undelete(repository)],
      ['collect', (repository) => collectRepository(repository, { graceMs: (1 + this.random(3)) * HOUR })],
      ['collect', (repository) => collectRepository(repository, { graceMs: HOUR })],
    ];
    if (this.random(4) === 0) this.#slow.add(store);
    const [name, operation] = operations[this.random(operations.length)]!;
    const ended = operation(this.open(store), this.known[host]!).then(
      () => this.#count(`${name} done`),
      (error: unknown) => {
        if (!(error instanceof LazydiskError)) throw error;
        this.#count(`${name} ${error.code}`);
      },
    );
    this.#running.set(
      store,
      ended.finally(() => this.#running.delete(store)),
    );
  }

  /** Lets time go by, then one waiting call pass, or kills its host. */
  async #step(): Promise<void> {
    const call = await this.#nextCall();
    if (call === undefined) return;
    this.nowMs +=
      this.random(20) === 0 ? this.random(5 * HOUR) : this.random(3) === 0 ? this.random(10 * MINUTE) : 1000;
    const ended = this.#running.get(call.store);
    if (this.random(150) === 0) {
      call.store.kill();
      this.#count('kills');
      await ended;
    } else if (call.operation === 'put' && this.nowMs - call.sinceMs > LONGEST_PUT_MS) {
      call.giveUp();
    } else {
      await call.pass();
      if (call.operation === 'put' || call.operation === 'delete') await this.check();
    }
  }

  /** When each host that works has come to the gate (or to its end). */
  async #nextCall(): Promise<GatedCall | undefined> {
    while ([...this.#running.keys()].some((store) => store.waiting.size === 0)) await turn();
    const stores = [...this.#running.keys()];
    const fast = stores.filter((store) => !this.#slow.has(store));
    const chosen = fast.length > 0 && this.random(30) > 0 ? fast : stores;
    const waiting = chosen.flatMap((store) => [...store.waiting]);
    return waiting[this.random(waiting.length)];
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  #image(): string {
    return IMAGES[this.random(IMAGES.length)]!;
  }

  async #numbers(repository: Repository, image: string, which: 'snapshots' | 'deleted'): Promise<number> {
    const listing = await repository.listImage(image);
    const numbers = which === 'deleted' ? listing.deleted : listing.snapshots.map(({ number }) => number);
    return numbers[this.random(Math.max(1, numbers.length))] ?? 1;
  }

  #seeds(): number[] {
    return Array.from({ length: 1 + this.random(MAX_CHUNKS) }, () => this.random(SEEDS + 1));
  }

  #import(repository: Repository, known: KnownPlaces): Promise<unknown> {
    const stream = Readable.from(this.#seeds().map(chunkOf));
    return importImage(repository, { source: { kind: 'stream', stream }, image: this.#image(), known, format: 'raw' });
  }

  /** As a head does it: under its lock, which names the base, for as long as it takes. */
  async #commit(repository: Repository, known: KnownPlaces): Promise<void> {
    const image = this.#image();
    const stateId = randomId();
    const draft = recordOf();
    const lock = { formatVersion: 1, imageId: randomId(), stateId, host: 'h', pid: 1, timeMs: 1, base: null } as const;
    await repository.takeLock(image, lock);
    const { snapshots } = await repository.listImage(image);
    const newest = snapshots.at(-1);
    const base = newest === undefined ? null : await repository.readRecord(image, newest.number);
    if (base !== null) {
      const { number, commitId } = base;
      await repository.updateLock(image, { ...lock, base: { number, commitId } });
    }
    const seeds = this.#seeds();
    const sizeBytes = Math.max(base?.sizeBytes ?? 0, seeds.length * CHUNK);
    const writer = repository.writeSnapshot({
      chunkSizeBytes: CHUNK,
      sizeBytes,
      base,
      known,
      trees: repository.trees(),
    });
    for (const [chunk, seed] of seeds.entries()) if (seed !== 0) await writer.put(chunk, chunkOf(seed));
    const { root, allocatedBytes, confirm } = await writer.finish();
    const { snapshots: now, nextNumber } = await repository.listImage(image);
    if (base === null || now.some(({ number }) => number === base.number)) {
      const imageId = base?.imageId ?? draft.imageId;
      const record = { ...draft, imageId, number: nextNumber, sizeBytes, root, allocatedBytes };
      await repository.publishRecord(image, record, undefined, { confirm });
    }
    await repository.releaseLock(image, stateId);
  }

  async #clone(repository: Repository): Promise<void> {
    const from = this.#image();
    const number = await this.#numbers(repository, from, 'snapshots');
    await cloneSnapshot(repository, { from, number, to: this.#image(), writerId: randomId() });
  }

  /** A number to delete or to bring back, of some image that has one. */
  async #some(repository: Repository, which: 'snapshots' | 'deleted'): Promise<[image: string, number: number]> {
    const first = this.random(IMAGES.length);
    for (let next = 0; next < IMAGES.length; next++) {
      const image = IMAGES[(first + next) % IMAGES.length]!;
      if ((await repository.listImage(image))[which].length === 0) continue;
      return [image, await this.#numbers(repository, image, which)];
    }
    return [IMAGES[first]!, 1];
  }

  async #delete(repository: Repository): Promise<void> {
    const [image, number] = await this.#some(repository, 'snapshots');
    // An operator takes away the lock of a host that is gone.
    if (this.random(4) === 0) await repository.releaseLock(image, undefined);
    // Time goes by in leaps here: one that took too long is begun again, as its error says.
    for (let tries = 3; tries > 1; tries--) {
      try {
        return await repository.deleteSnapshot(image, number);
      } catch (error) {
        if (!hasCode(error, 'CONFLICT')) throw error;
      }
    }
    await repository.deleteSnapshot(image, number);
  }

  async #undelete(repository: Repository): Promise<void> {
    const [image, number] = await this.#some(repository, 'deleted');
    await repository.undeleteSnapshot(image, number);
  }
}

// S54
describe('collection', () => {
  test('among hosts that write, delete and are killed, loses nothing that lives and leaves nothing that is dead', async () => {
    const counts = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(fc.noShrink(fc.integer()), async (seed) => {
        const simulation = new Simulation(seed);
        await simulation.run();
        for (const image of IMAGES) await simulation.open(simulation.memory).releaseLock(image, undefined);
        for (let round = 0; round < 4; round++) {
          await collectRepository(simulation.open(simulation.memory), { graceMs: HOUR });
          simulation.nowMs += 5 * HOUR;
        }
        await simulation.check();
        const report = await verifyRepository(simulation.open(simulation.memory));
        expect(report.unreferencedSegments).toBe(0);
        expect(await keysOf(simulation.memory, 'condemned/')).toEqual([]);
        expect(await keysOf(simulation.memory, 'clock/')).toEqual([]);
        for (const [what, count] of simulation.counts) counts.set(what, (counts.get(what) ?? 0) + count);
      }),
      { numRuns: 30 },
    );
    // A run in which nothing ever succeeded would prove nothing.
    for (const name of ['import', 'commit', 'clone', 'delete', 'undelete', 'collect']) {
      expect([name, counts.get(`${name} done`) ?? 0]).not.toEqual([name, 0]);
    }
    expect(counts.get('kills')).toBeGreaterThan(0);
  });
});
