/**
 * Decorator: bounds how many bytes a second the puts of some keys send, so that an upload leaves room on the link.
 *
 * A put is not held back whole: the store asks before each piece that it sends (`PutOptions.pace`), so the link never carries
 * a burst of a segment's size that readers' requests would have to wait behind. At most two such puts are under way, the second
 * so that the first one's answer is not waited for with an idle link; the others wait here.
 *
 * It belongs above the retrying decorator, `pacing(retrying(store))`: while a put waits here, no deadline runs. While it
 * sends, one does, which is why a rate has a least value. Bytes that are sent again are paced like the first.
 */
import { RateLimit } from '../util/rate-limit.js';
import { abortedError, pause, throwIfAborted } from './calls.js';
import { systemClock, type Clock } from './clock.js';
import type { CallOptions, GetOptions, Listing, ListOptions, ObjectStore, PutOptions } from './object-store.js';
import { Semaphore } from './semaphore.js';

/**
 * Two segments at this rate take a fraction of what the retrying decorator gives an attempt at its slowest: slower, an
 * upload that moves would be taken for dead.
 */
export const LEAST_PACED_BYTES_PER_SECOND = 256 * 1024;

const PUTS_AT_ONCE = 2;

export interface PacingOptions {
  /** At least LEAST_PACED_BYTES_PER_SECOND, for objects of a segment's size. */
  readonly bytesPerSecond: number;
  readonly isPaced: (key: string) => boolean;
  readonly clock?: Clock;
}

/** `store`, paced; closing closes `store`. */
export function pacing(store: ObjectStore, options: PacingOptions): ObjectStore {
  return new PacingStore(store, options);
}

class PacingStore implements ObjectStore {
  private readonly isPaced: (key: string) => boolean;
  private readonly clock: Clock;
  private readonly limit: RateLimit;
  private readonly puts = new Semaphore(PUTS_AT_ONCE);
  /** Whoever is next waits for the account; the others wait for it. */
  private readonly next = new Semaphore(1);

  constructor(
    private readonly store: ObjectStore,
    options: PacingOptions,
  ) {
    this.isPaced = options.isPaced;
    this.clock = options.clock ?? systemClock;
    this.limit = new RateLimit(options.bytesPerSecond);
  }

  get location(): string {
    return this.store.location;
  }

  get(key: string, options?: GetOptions): Promise<Buffer> {
    return this.store.get(key, options);
  }

  put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    if (!this.isPaced(key)) return this.store.put(key, bytes, options);
    return this.within(this.puts, options.signal, () =>
      this.store.put(key, bytes, { ...options, pace: (sizeBytes, signal) => this.turn(sizeBytes, signal) }),
    );
  }

  list(prefix: string, options?: ListOptions): Promise<Listing> {
    return this.store.list(prefix, options);
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.store.delete(key, options);
  }

  close(): Promise<void> {
    return this.store.close();
  }

  /** Resolves when so many bytes may be sent. */
  private turn(sizeBytes: number, signal: AbortSignal | undefined): Promise<void> {
    return this.within(this.next, signal, async () => {
      for (let waitMs; (waitMs = this.limit.waitMs(this.clock.nowMs())) > 0;) {
        throwIfAborted(signal, this.location);
        await pause(waitMs, { clock: this.clock, signal, location: this.location });
      }
      this.limit.take(sizeBytes, this.clock.nowMs());
    });
  }

  private async within<T>(place: Semaphore, signal: AbortSignal | undefined, action: () => Promise<T>): Promise<T> {
    throwIfAborted(signal, this.location);
    const release = await place.acquire(1, signal).catch((error: unknown) => {
      throw signal?.aborted ? abortedError(this.location) : error;
    });
    try {
      // The signal may have fired between the place's coming and here.
      throwIfAborted(signal, this.location);
      return await action();
    } finally {
      release();
    }
  }
}
