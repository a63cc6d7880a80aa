/**
 * The record of a slot file made anew from the slots: a chunk's name is the hash of its bytes, so a slot says itself what it holds.
 *
 * For a database that was damaged or is gone. What is found this way needs no trust: it was just verified. A slot that was written
 * in part gives a name that nobody asks for, and leaves with the next eviction. It takes a second for a gigabyte or two, and a
 * mount waits for it: what is not looked at within `limitMs` is given up, and fetched again.
 */
import { isZero, sha256OffThread } from '../format/checksums.js';
import type { SlotNumber } from '../format/geometry.js';
import { seekData, seekHole } from '../util/syscalls.js';
import type { SlotPool } from './slot-pool.js';
import type { SlotRecord } from './slot-record.js';
import { KEPT } from './slot-table.js';

/** Slots that are read at once: enough for a disk's queue and the cores, and bounded memory. */
const AT_ONCE = 8;

export interface Rebuilt {
  /** Chunks that are local again. */
  readonly chunks: number;
  /** Slots with something in them that were not looked at, or could not be read. */
  readonly lostSlots: number;
}

/** Adopts the chunks in the slots of a pool whose table is empty, and records them. Never rejects: what fails is lost. */
export async function rebuild(pool: SlotPool, record: SlotRecord, limitMs: number): Promise<Rebuilt> {
  const endMs = performance.now() + limitMs;
  let chunks = 0;
  let lostSlots = 0;
  const slots = filledSlots(pool);
  for (;;) {
    const some = takeSome(slots);
    if (some.length === 0) return { chunks, lostSlots };
    const found = performance.now() < endMs ? await Promise.all(some.map((slot) => nameOf(pool, slot))) : [];
    const adopted: { id: string; slot: SlotNumber }[] = [];
    for (const [index, slot] of some.entries()) {
      const id = found[index];
      if (id === undefined) lostSlots++;
      // Two slots with the same bytes: one of them is enough.
      else if (id !== 'zeros' && pool.table.adopt(slot, id, KEPT)) adopted.push({ id, slot });
    }
    chunks += adopted.length;
    await record.keep(pool.chunkSizeBytes, adopted);
  }
}

/** 'zeros': nothing is there, since chunks of zeros are stored nowhere. undefined: the disk failed. */
async function nameOf(pool: SlotPool, slot: SlotNumber): Promise<string | undefined> {
  try {
    const bytes = await pool.file.read(slot);
    return isZero(bytes) ? 'zeros' : await sha256OffThread(bytes);
  } catch {
    return undefined;
  }
}

/** Slots of which some part is not a hole, ascending. */
function* filledSlots({ file, chunkSizeBytes, table }: SlotPool): Generator<SlotNumber, undefined> {
  let next = 0;
  for (;;) {
    const data = seekData(file.descriptor, next * chunkSizeBytes);
    if (data === undefined) return undefined;
    const end = Math.min(table.capacity, Math.ceil(seekHole(file.descriptor, data) / chunkSizeBytes));
    next = Math.max(next, Math.floor(data / chunkSizeBytes));
    if (next >= end) return undefined;
    while (next < end) yield next++;
  }
}

function takeSome(slots: Generator<SlotNumber, undefined>): SlotNumber[] {
  const some: SlotNumber[] = [];
  while (some.length < AT_ONCE) {
    const { value, done } = slots.next();
    if (done === true) break;
    some.push(value);
  }
  return some;
}
