/**
 * The data plane of one open disk: the shared arrays and files with which a worker serves reads and writes by itself.
 *
 * A plane is a description that can be sent to a thread (numbers, shared arrays, descriptors). It is replaced whole, behind
 * the gate, whenever its layers, base, arrays or cuts change; only words inside shared arrays change in place.
 *
 * The rule for every thread that serves (docs/ARCHITECTURE.md, "The gate"):
 *   1. say busy (WorkerWords), 2. take newer planes if the generation was raised, 3. load the gate: when set, let the main
 *   thread have the request, 4. load the generation again: when raised, begin again at 2, 5. only then load maps.
 * Without step 4 a thread that stops between 2 and 3 could find the gate open again after a change, and use the old plane.
 * Order of a write: data, then the state in the side file, then the state in the shared array, then the changed flag, then
 * the answer. Nothing here allocates, awaits or logs.
 */

/** Words in the control array of a plane. */
export const CONTROL_GATE = 0;
/** Whole blocks of the disk (unsigned): requests within them may be served by workers. Grows at any time, shrinks behind the gate. */
export const CONTROL_WHOLE_BLOCKS = 1;
/** Set to 1 by whoever writes, and exchanged for 0 by an FSYNC round. */
export const CONTROL_DIRTY = 2;
/** Set to 1 when a state changes, and exchanged for 0 by whoever counts allocated blocks. */
export const CONTROL_STATES_CHANGED = 3;
export const CONTROL_WORDS = 4;

/** States of a block in a layer, one byte each. */
export const BELOW = 0;
export const DATA = 1;
export const ZERO = 2;

/** A changed flag covers so many states. */
export const STATES_PER_FLAG = 4096;

/** A cut beyond every block: nothing of what lies below is hidden. */
export const NO_CUT = 0xffffffff;

/** Length of the header of the side files, before the states. */
export const SIDE_HEADER_BYTES = 4096;

/** Bits of a chunk's byte in TouchPlane.states. Nothing else than TOUCHED is the usual case: a reader looks once, and goes on. */
export const TOUCHED = 1;
/** Who reads the chunk wakes the main thread, once: the end of what was read ahead comes near. */
export const MARKED = 2;

/** Words of TouchPlane.log before its entries. */
export const LOG_COUNT = 0;
/** Grows when a marked chunk is read; the main thread waits for it with Atomics.waitAsync. */
export const LOG_WAKE = 1;
export const LOG_HEADER_WORDS = 2;

/**
 * Which chunks of a base a reader has asked for, and in which order for the first time. Shared; kept by touches.ts, written
 * by whoever reads (serve.ts). Zeros are not noted: they cost nothing.
 */
export interface TouchPlane {
  /** One byte per chunk: bits TOUCHED and MARKED. */
  readonly states: Uint8Array<SharedArrayBuffer>;
  /** How many chunks were touched, then each of them plus one (0: its writer is not done yet) until the log is full. */
  readonly log: Int32Array<SharedArrayBuffer>;
}

/** One layer as a worker sees it. */
export interface LayerPlane {
  /** State per block. Shared. */
  readonly states: Uint8Array<SharedArrayBuffer>;
  /** One flag per STATES_PER_FLAG states, for FSYNC rounds. Shared. */
  readonly changed: Uint8Array<SharedArrayBuffer>;
  /** One flag per STATES_PER_FLAG states, never cleared: where a scan has to look. Shared. */
  readonly touched: Uint8Array<SharedArrayBuffer>;
  /** Data file, offset for offset. */
  readonly dataDescriptor: number;
  /** Side file with the live states from SIDE_HEADER_BYTES on. */
  readonly sideDescriptor: number;
  /** From this block on, `below` means zero. */
  readonly cutBlock: number;
}

/** Everything a worker needs to serve one disk. */
export interface Plane {
  /** The node id by which requests name it. */
  readonly key: number;
  readonly control: Uint32Array<SharedArrayBuffer>;
  readonly writable: boolean;
  readonly chunkSizeBytes: number;
  /** Slot map of the base, or null when there is no base (all zeros below the layers). */
  readonly slots: Int32Array<SharedArrayBuffer> | null;
  /** Chunks of the base from this number on are zeros: the base may be shorter than the disk. */
  readonly slotCount: number;
  readonly slotDescriptor: number;
  readonly slotReferenced: Uint8Array<SharedArrayBuffer> | null;
  /** Where reads of the base's chunks are noted; null when there is no base, or when the reader is no guest (a commit). */
  readonly touches: TouchPlane | null;
  /** Oldest first; the last one takes the writes. Empty for a snapshot. */
  readonly layers: readonly LayerPlane[];
}

/** Brings planes to the threads that serve. Implemented by the FUSE session; without threads it does nothing. */
export interface PlaneFeed {
  /** The plane replaces the one of the same key. When it returns, no request that a worker begins sees the older one. */
  publish(plane: Plane): void;
  /** No request that a worker begins after it returns finds the key. */
  withdraw(key: number): void;
}

/** The feed where there are no workers. */
export const noFeed: PlaneFeed = { publish: () => undefined, withdraw: () => undefined };
