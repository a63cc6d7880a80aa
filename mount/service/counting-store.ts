/**
 * Decorator: counts requests and failures for `status`. It stands below the one that tries again, so that every attempt
 * counts. A missing key, a key that exists, and a call that was given up by its caller are answers, not errors.
 */
import type { CallOptions, GetOptions, Listing, ObjectStore, PutOptions } from '../../lib/store/object-store.js';
import { hasCode, messageOf } from '../../lib/util/errors.js';
import type { StoreStatistics } from '../tree/status-schema.js';

export class CountingStore implements ObjectStore {
  private requests = 0;
  private errors = 0;
  private lastError: StoreStatistics['lastError'] = null;

  constructor(
    private readonly store: ObjectStore,
    private readonly now: () => number = Date.now,
  ) {}

  get location(): string {
    return this.store.location;
  }

  statistics(): StoreStatistics {
    return { requests: this.requests, errors: this.errors, lastError: this.lastError };
  }

  get(key: string, options?: GetOptions): Promise<Buffer> {
    return this.counted(this.store.get(key, options));
  }

  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void> {
    return this.counted(this.store.put(key, bytes, options));
  }

  list(prefix: string, options?: CallOptions & { readonly delimiter?: '/' }): Promise<Listing> {
    return this.counted(this.store.list(prefix, options));
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.counted(this.store.delete(key, options));
  }

  close(): Promise<void> {
    return this.store.close();
  }

  private async counted<T>(call: Promise<T>): Promise<T> {
    this.requests++;
    try {
      return await call;
    } catch (error) {
      if (!hasCode(error, 'NOT_FOUND', 'EXISTS', 'ABORTED')) {
        this.errors++;
        this.lastError = { message: messageOf(error), timeMs: this.now() };
      }
      throw error;
    }
  }
}
