/**
 * The states of a layer's blocks in memory, shared with the threads that serve (plane.ts): one byte a block, and two sets of
 * flags, each for STATES_PER_FLAG blocks, that say where to look.
 *
 *   touched   something may not be `below`: never cleared
 *   changed   something has changed since a round took it (fsync-rounds.ts): set after the state, cleared before it is copied
 *
 * The arrays are replaced when they grow, behind the gate; so a plane that was made before is no longer good.
 */
import { STATES_PER_FLAG } from './plane.js';

type SharedBytes = Uint8Array<SharedArrayBuffer>;

/** A copy of the states of one flag, the first of them that of block `firstBlock`. */
export interface ChangedGroup {
  readonly firstBlock: number;
  readonly states: Buffer;
}

/** Smallest capacity of the arrays: 1 GiB of disk costs 256 KiB of untouched memory. */
const MIN_CAPACITY_BLOCKS = 262_144;
const MAX_CAPACITY_BLOCKS = 2 ** 31;

export class BlockStates {
  states: SharedBytes;
  changed: SharedBytes;
  touched: SharedBytes;

  constructor(capacityBlocks: number) {
    const capacity = wholeGroups(Math.max(capacityBlocks, MIN_CAPACITY_BLOCKS));
    this.states = sharedBytes(capacity);
    this.changed = sharedBytes(capacity / STATES_PER_FLAG);
    this.touched = sharedBytes(capacity / STATES_PER_FLAG);
  }

  get capacityBlocks(): number {
    return this.states.length;
  }

  /** Takes states as a file has them, before anybody else looks. No round has to make them durable. */
  load(firstBlock: number, states: Uint8Array): void {
    this.states.set(states, firstBlock);
    flag(this.touched, firstBlock, firstBlock + states.length - 1);
  }

  /** Gives blocks a state, first and last included, behind the gate. */
  fill(state: number, first: number, last: number): void {
    flag(this.touched, first, last);
    this.states.fill(state, first, last + 1);
    flag(this.changed, first, last);
  }

  /** Makes room for so many blocks, at least, behind the gate. */
  grow(capacityBlocks: number): void {
    if (capacityBlocks <= this.capacityBlocks) return;
    const capacity = wholeGroups(Math.max(capacityBlocks, Math.min(this.capacityBlocks * 2, MAX_CAPACITY_BLOCKS)));
    // Only what was touched: the rest stays memory that nobody has touched.
    const states = sharedBytes(capacity);
    this.forEachTouchedGroup((first, end) => {
      states.set(this.states.subarray(first, end), first);
    });
    this.states = states;
    this.changed = longer(this.changed, capacity / STATES_PER_FLAG);
    this.touched = longer(this.touched, capacity / STATES_PER_FLAG);
  }

  /** Whether every block is `below`. */
  isUntouched(): boolean {
    return !this.touched.includes(1);
  }

  /** Calls back for every group of STATES_PER_FLAG blocks in which something may not be `below`, in order. */
  forEachTouchedGroup(callback: (firstBlock: number, endBlock: number) => void): void {
    for (let group = this.touched.indexOf(1); group !== -1; group = this.touched.indexOf(1, group + 1)) {
      callback(group * STATES_PER_FLAG, (group + 1) * STATES_PER_FLAG);
    }
  }

  /** The first block >= `from` in a group that has been touched. */
  nextTouched(from: number): number | undefined {
    const group = this.touched.indexOf(1, Math.floor(from / STATES_PER_FLAG));
    return group === -1 ? undefined : Math.max(from, group * STATES_PER_FLAG);
  }

  /** How many blocks have a state. */
  count(state: number): number {
    let count = 0;
    this.forEachTouchedGroup((first, end) => {
      for (let block = first; block < end; block++) if (this.states[block] === state) count++;
    });
    return count;
  }

  /** Takes the groups that changed since the last call. */
  takeChanged(): ChangedGroup[] {
    const groups: ChangedGroup[] = [];
    for (let at = this.changed.indexOf(1); at !== -1; at = this.changed.indexOf(1, at + 1)) {
      if (Atomics.exchange(this.changed, at, 0) === 0) continue;
      const firstBlock = at * STATES_PER_FLAG;
      groups.push({
        firstBlock,
        states: Buffer.from(this.states.subarray(firstBlock, firstBlock + STATES_PER_FLAG)),
      });
    }
    return groups;
  }

  /** What was taken has to be taken again. */
  returnChanged(groups: readonly ChangedGroup[]): void {
    for (const { firstBlock } of groups) Atomics.store(this.changed, firstBlock / STATES_PER_FLAG, 1);
  }

  /** All that is not `below` has to be taken. */
  changeEverything(): void {
    this.forEachTouchedGroup((first) => {
      Atomics.store(this.changed, first / STATES_PER_FLAG, 1);
    });
  }
}

function flag(flags: Uint8Array, firstBlock: number, lastBlock: number): void {
  flags.fill(1, Math.floor(firstBlock / STATES_PER_FLAG), Math.floor(lastBlock / STATES_PER_FLAG) + 1);
}

function sharedBytes(length: number): SharedBytes {
  return new Uint8Array(new SharedArrayBuffer(length));
}

function longer(bytes: Uint8Array, length: number): SharedBytes {
  const longer = sharedBytes(length);
  longer.set(bytes);
  return longer;
}

function wholeGroups(blocks: number): number {
  return Math.ceil(blocks / STATES_PER_FLAG) * STATES_PER_FLAG;
}
