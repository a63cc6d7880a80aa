/**
 * A store in memory: for tests, and the plainest reading of the contract.
 *
 * Bytes are copied in and out, so that no caller can change what is stored. A call takes effect in one synchronous turn,
 * which makes it atomic; it begins with a turn of the event loop, so that callers race as they do with a real store.
 */
import { abortedError, checkRange, keyExists, listingOf, noSuchKey, rangePastEnd, throwIfAborted } from './calls.js';
import { checkKey, checkPrefix } from './keys.js';
import type {
  CallOptions,
  GetOptions,
  Listing,
  ListOptions,
  ObjectStore,
  StoredObject,
  PutOptions,
} from './object-store.js';

interface Stored {
  readonly bytes: Buffer;
  readonly modifiedMs: number;
}

export class MemoryStore implements ObjectStore {
  private readonly stored = new Map<string, Stored>();

  /** `nowMs` is the store's clock, milliseconds since 1970. */
  constructor(
    readonly location = 'memory:',
    private readonly nowMs: () => number = Date.now,
  ) {}

  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    checkKey(key);
    checkRange(options.range);
    await this.turn(options.signal);
    const found = this.stored.get(key);
    if (found === undefined) throw noSuchKey(this.location, key);
    const range = options.range ?? { offsetBytes: 0, lengthBytes: found.bytes.length };
    const end = range.offsetBytes + range.lengthBytes;
    if (end > found.bytes.length) throw rangePastEnd(this.location, key, range, found.bytes.length);
    const copy = copyOf(found.bytes.subarray(range.offsetBytes, end));
    if (copy.length > 0) options.onBytes?.(copy, copy.length);
    return copy;
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    checkKey(key);
    await this.turn(options.signal);
    await options.pace?.(bytes.length, options.signal);
    if (options.ifAbsent && this.stored.has(key)) throw keyExists(this.location, key);
    this.stored.set(key, { bytes: copyOf(bytes), modifiedMs: this.nowMs() });
  }

  async list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    checkPrefix(prefix);
    await this.turn(options.signal);
    const found: StoredObject[] = [];
    for (const [key, { bytes, modifiedMs }] of this.stored) {
      if (key.startsWith(prefix)) found.push({ key, sizeBytes: bytes.length, modifiedMs });
    }
    return listingOf(found, prefix, options.delimiter);
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    await this.turn(options.signal);
    this.stored.delete(key);
  }

  async close(): Promise<void> {
    // Nothing is held.
  }

  private async turn(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal, this.location);
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (signal?.aborted) throw abortedError(this.location);
  }
}

/** A copy that shares no memory with Node's buffer pool: the caller may transfer it to a worker. */
function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}
