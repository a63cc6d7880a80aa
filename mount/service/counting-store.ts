/**
 * Decorator: counts requests and failures for `status`. It stands below the one that tries again, so that every attempt
 * counts. A missing key, a key that exists, and a call that was given up by its caller are answers, not errors.
 */
import type {
  CallOptions,
  GetOptions,
  Listing,
  ListOptions,
  ObjectStore,
  PutOptions,
} from '../../lib/store/object-store.js';
import { hasCode, LazydiskError, messageOf, type ErrorCode } from '../../lib/util/errors.js';
import type { StoreStatistics } from '../tree/status-schema.js';

/** One request to the store that has ended. */
export interface StoreCall {
  readonly operation: 'get' | 'put' | 'list' | 'delete';
  /** How it failed; null: it was answered, be it that there is no such key. ABORTED: its caller gave it up. */
  readonly failure: ErrorCode | null;
  readonly durationMs: number;
  /** Of bodies of answered gets and puts. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Told of every request. Returns at once and does not throw. */
export type OnStoreCall = (call: StoreCall) => void;

export class CountingStore implements ObjectStore {
  /** Told of every request that the store left unanswered. Returns at once and does not throw. */
  onUnanswered: () => void = () => undefined;
  private requests = 0;
  private errors = 0;
  private lastError: StoreStatistics['lastError'] = null;
  private lastAnswerMs: number | null = null;

  constructor(
    private readonly store: ObjectStore,
    private readonly onCall: OnStoreCall = () => undefined,
    private readonly now: () => number = Date.now,
  ) {}

  get location(): string {
    return this.store.location;
  }

  statistics(): StoreStatistics {
    const { requests, errors, lastError, lastAnswerMs } = this;
    return { requests, errors, lastError, lastAnswerMs };
  }

  get(key: string, options?: GetOptions): Promise<Buffer> {
    return this.counted('get', this.store.get(key, options), (bytes) => ({ receivedBytes: bytes.length }));
  }

  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void> {
    return this.counted('put', this.store.put(key, bytes, options), () => ({ sentBytes: bytes.length }));
  }

  list(prefix: string, options?: ListOptions): Promise<Listing> {
    return this.counted('list', this.store.list(prefix, options));
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.counted('delete', this.store.delete(key, options));
  }

  close(): Promise<void> {
    return this.store.close();
  }

  private async counted<T>(
    operation: StoreCall['operation'],
    call: Promise<T>,
    traffic: (result: T) => Partial<StoreCall> = () => ({}),
  ): Promise<T> {
    this.requests++;
    const startedMs = performance.now();
    const ended = (failure: ErrorCode | null, more: Partial<StoreCall> = {}): void => {
      const durationMs = performance.now() - startedMs;
      if (failure === null || failure === 'REFUSED') this.lastAnswerMs = this.now();
      this.onCall({ operation, failure, durationMs, receivedBytes: 0, sentBytes: 0, ...more });
    };
    try {
      const result = await call;
      ended(null, traffic(result));
      return result;
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND', 'EXISTS')) {
        ended(null);
      } else if (hasCode(error, 'ABORTED')) {
        ended('ABORTED');
      } else {
        this.errors++;
        this.lastError = { message: messageOf(error), timeMs: this.now() };
        ended(error instanceof LazydiskError ? error.code : 'IO');
        if (hasCode(error, 'UNREACHABLE')) this.onUnanswered();
      }
      throw error;
    }
  }
}
