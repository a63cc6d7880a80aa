/**
 * The open descriptors that hold something: those of control and status files.
 *
 * A handle that is not known belongs to a descriptor that was opened under an earlier daemon: it gets a fresh value under
 * its own number and goes on. Numbers begin beyond any that an earlier daemon may have given (milliseconds of the start
 * times 1,024), and beyond 0 and 1, which images use. The number of handles is bounded: ENFILE.
 */
import { FsError } from '../fuse/errno.js';

/** Most descriptors of control and status files at once. */
export const MAX_HANDLES = 1024;

const HANDLES_PER_MS = 1024;

export class Handles<Value> {
  readonly #values = new Map<number, Value>();
  #next: number;

  constructor(startedMs: number) {
    this.#next = startedMs * HANDLES_PER_MS + 2;
  }

  add(value: Value): number {
    const handle = this.#next++;
    this.#put(handle, value);
    return handle;
  }

  /** The value of a handle; `fresh` makes one for a handle of an earlier daemon. */
  get(handle: number, fresh: () => Value): Value {
    const known = this.#values.get(handle);
    if (known !== undefined) return known;
    const value = fresh();
    this.#put(handle, value);
    return value;
  }

  release(handle: number): void {
    this.#values.delete(handle);
  }

  get size(): number {
    return this.#values.size;
  }

  #put(handle: number, value: Value): void {
    if (this.#values.size >= MAX_HANDLES) {
      throw new FsError('ENFILE', `${MAX_HANDLES} control and status files are open: close some.`);
    }
    this.#values.set(handle, value);
  }
}
