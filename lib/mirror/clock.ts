/**
 * Which slots leave: the clock, as a pure decision apart from the doing (eviction.ts).
 *
 * A hand goes round the slots in ascending order. A slot that was read since the hand last came by (its referenced bit) has
 * the bit cleared and stays; one that was not is a victim. Two rounds find a victim whenever there is a slot that may leave
 * and nobody reads meanwhile; since workers set bits at any time, a third round takes what may leave whatever its bit, so
 * that a full mirror always finds room. Ascending victims make ascending free slots, which keeps sequential reads
 * sequential.
 */
import type { SlotNumber } from '../format/geometry.js';

/** What the decision is made from. */
export interface ClockFace {
  /** Slots are 0 to `slots` - 1. */
  readonly slots: number;
  /** One byte per slot; cleared as the hand passes. */
  readonly referenced: Uint8Array;
  /** Whether the slot holds a chunk that nobody holds in place. */
  mayLeave(slot: SlotNumber): boolean;
}

/** What was decided: at most `wanted` victims, and where the hand stands now. */
export interface Sweep {
  readonly victims: readonly SlotNumber[];
  readonly hand: SlotNumber;
}

const ROUNDS = 3;

/** Chooses up to `wanted` different victims, beginning at `hand`. At most three rounds. */
export function sweep(face: ClockFace, hand: SlotNumber, wanted: number): Sweep {
  const victims: SlotNumber[] = [];
  const chosen = new Set<SlotNumber>();
  let at = hand < face.slots ? hand : 0;
  for (let step = 0; step < face.slots * ROUNDS && victims.length < wanted; step++) {
    const lastRound = step >= face.slots * (ROUNDS - 1);
    if (face.mayLeave(at) && !chosen.has(at)) {
      if (face.referenced[at] === 0 || lastRound) {
        victims.push(at);
        chosen.add(at);
      } else {
        face.referenced[at] = 0;
      }
    }
    at = at + 1 < face.slots ? at + 1 : 0;
  }
  return { victims, hand: at };
}
