/**
 * What the main thread and the workers tell each other, and the arrays that they share. Everything here can be sent to a
 * thread.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Plane } from '../../lib/image/plane.js';

/** To a worker: a change of its planes. It is in force once the shared generation has reached `generation`. */
export type PlaneMessage =
  | { readonly kind: 'publish'; readonly generation: number; readonly plane: Plane }
  | { readonly kind: 'withdraw'; readonly generation: number; readonly key: number };

/** From a worker. */
export type WorkerMessage =
  /** It is about to serve. `threadId`: the kernel's number of its thread. */
  | { readonly kind: 'ready'; readonly threadId: number }
  /** A request that is not a worker's. `bytes` are the receiver's. */
  | { readonly kind: 'request'; readonly bytes: Uint8Array<ArrayBuffer> }
  /** Something that an operator should know; the worker goes on. */
  | { readonly kind: 'trouble'; readonly message: string };

/** What a worker is started with. */
export interface WorkerStart {
  /** One word: 0 until it is known which device to serve, then `deviceWord` of its descriptor, or of NO_DEVICE. */
  readonly device: Int32Array<SharedArrayBuffer>;
  /** Requests that an earlier daemon had taken get EIO (protocol/limits.ts, RESENT_BIT). */
  readonly refusesResent: boolean;
  readonly port: MessagePort;
  /** Its word in `words` (WorkerWords). */
  readonly wordIndex: number;
  readonly words: Int32Array<SharedArrayBuffer>;
  /** One word. */
  readonly generation: Int32Array<SharedArrayBuffer>;
  /** Its own counters: only it writes them. */
  readonly counters: Float64Array<SharedArrayBuffer>;
}

/** Instead of a descriptor: nothing was mounted, and the thread ends. */
export const NO_DEVICE = -2;

/** A descriptor as the shared word has it. */
export function deviceWord(device: number): number {
  return device + 1;
}

/** Waits for the word, in a thread that has nothing else to do. Returns a descriptor, or NO_DEVICE. */
export function awaitDevice(word: Int32Array<SharedArrayBuffer>): number {
  while (Atomics.load(word, 0) === 0) Atomics.wait(word, 0, 0);
  return Atomics.load(word, 0) - 1;
}

/** Places in a worker's counters. Doubles, because bytes outgrow 32 bits. */
export const COUNT_READS = 0;
export const COUNT_READ_BYTES = 1;
export const COUNT_WRITES = 2;
export const COUNT_WRITE_BYTES = 3;
export const COUNT_FORWARDED = 4;
/** A cache line, so that workers do not slow each other down. */
export const COUNTERS = 8;
