/**
 * Decorator: bounds how much of a store is in use at once.
 *
 * Reads (get, list) and writes (put, delete) have a bound of requests and a bound of bytes each, so that an upload of many
 * segments never keeps a guest's reads waiting. Whoever comes above a bound waits in line, in the order of arrival. It
 * belongs below the retrying decorator, `retrying(limiting(store))`: a call that waits to try again holds no place.
 *
 * What it does not do: priorities. They are decided above, where demand and prefetch are known apart; the bounds here
 * are meant to be wider than those, and protect memory and the server from all users of the store together.
 */
import { abortedError } from './calls.js';
import type { CallOptions, GetOptions, Listing, ListOptions, ObjectStore, PutOptions } from './object-store.js';
import { Semaphore, type Release } from './semaphore.js';

export interface LimitingOptions {
  /** Default 64. */
  readonly maxReads?: number;
  /** Bytes of gets in flight. Default 128 MiB. */
  readonly maxReadBytes?: number;
  /** Default 16. */
  readonly maxWrites?: number;
  /** Bytes of puts in flight. Default 128 MiB. */
  readonly maxWriteBytes?: number;
}

const MIB = 1024 * 1024;

/** What a get without a range counts: only small objects are read whole, and nobody knows their size before. */
const WHOLE_GET_BYTES = 64 * 1024;

/** `store` with bounds; closing closes `store`. */
export function limiting(store: ObjectStore, options: LimitingOptions = {}): ObjectStore {
  return new LimitingStore(store, options);
}

interface Lane {
  readonly requests: Semaphore;
  readonly bytes: Semaphore;
}

class LimitingStore implements ObjectStore {
  private readonly reads: Lane;
  private readonly writes: Lane;

  constructor(
    private readonly store: ObjectStore,
    options: LimitingOptions,
  ) {
    this.reads = {
      requests: new Semaphore(options.maxReads ?? 64),
      bytes: new Semaphore(options.maxReadBytes ?? 128 * MIB),
    };
    this.writes = {
      requests: new Semaphore(options.maxWrites ?? 16),
      bytes: new Semaphore(options.maxWriteBytes ?? 128 * MIB),
    };
  }

  get location(): string {
    return this.store.location;
  }

  get(key: string, options: GetOptions = {}): Promise<Buffer> {
    const bytes = options.range?.lengthBytes ?? WHOLE_GET_BYTES;
    return this.within(this.reads, bytes, options.signal, () => this.store.get(key, options));
  }

  put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    return this.within(this.writes, bytes.length, options.signal, () => this.store.put(key, bytes, options));
  }

  list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    return this.within(this.reads, 0, options.signal, () => this.store.list(prefix, options));
  }

  delete(key: string, options: CallOptions = {}): Promise<void> {
    return this.within(this.writes, 0, options.signal, () => this.store.delete(key, options));
  }

  close(): Promise<void> {
    return this.store.close();
  }

  private async within<T>(
    lane: Lane,
    bytes: number,
    signal: AbortSignal | undefined,
    action: () => Promise<T>,
  ): Promise<T> {
    const releases: Release[] = [];
    try {
      // Always in this order, so that no two callers can wait for each other.
      releases.push(await this.enter(lane.requests, 1, signal));
      if (bytes > 0) releases.push(await this.enter(lane.bytes, bytes, signal));
      return await action();
    } finally {
      for (const release of releases) release();
    }
  }

  private async enter(semaphore: Semaphore, amount: number, signal: AbortSignal | undefined): Promise<Release> {
    try {
      return await semaphore.acquire(amount, signal);
    } catch (error) {
      throw signal?.aborted ? abortedError(this.location) : error;
    }
  }
}
