/**
 * A store whose calls wait at a gate until somebody lets them pass: so several hosts can be interleaved call by call.
 *
 * A put asks its pace before it waits, as one that is sent and arrives late; whoever holds the gate gives up one that waits
 * too long, as a store does. A store that is killed lets nothing pass: each waiting and later call fails, without an effect.
 */
import type {
  CallOptions,
  GetOptions,
  Listing,
  ListOptions,
  ObjectStore,
  PutOptions,
} from '../../lib/store/object-store.js';
import { LazydiskError } from '../../lib/util/errors.js';

/** A call that waits. */
export interface GatedCall {
  readonly store: GatedStore;
  readonly operation: 'get' | 'put' | 'list' | 'delete';
  readonly key: string;
  readonly sinceMs: number;
  /** Lets it pass. Resolves when the call has ended, however. */
  pass(): Promise<void>;
  /** Lets it fail with UNREACHABLE, without an effect. */
  giveUp(): void;
}

export class GatedStore implements ObjectStore {
  readonly waiting = new Set<GatedCall>();
  #killed = false;

  constructor(
    private readonly inner: ObjectStore,
    private readonly nowMs: () => number,
  ) {}

  get location(): string {
    return this.inner.location;
  }

  kill(): void {
    this.#killed = true;
    for (const call of [...this.waiting]) call.giveUp();
  }

  get(key: string, options?: GetOptions): Promise<Buffer> {
    return this.#gate('get', key, () => this.inner.get(key, options));
  }

  async put(key: string, bytes: Uint8Array, { pace, ...options }: PutOptions = {}): Promise<void> {
    await pace?.(bytes.length, options.signal);
    return this.#gate('put', key, () => this.inner.put(key, bytes, options));
  }

  list(prefix: string, options?: ListOptions): Promise<Listing> {
    return this.#gate('list', prefix, () => this.inner.list(prefix, options));
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.#gate('delete', key, () => this.inner.delete(key, options));
  }

  async close(): Promise<void> {
    // The inner one belongs to all.
  }

  #gate<T>(operation: GatedCall['operation'], key: string, action: () => Promise<T>): Promise<T> {
    if (this.#killed) return Promise.reject(killed());
    return new Promise<T>((resolve, reject) => {
      const call: GatedCall = {
        store: this,
        operation,
        key,
        sinceMs: this.nowMs(),
        pass: async () => {
          this.waiting.delete(call);
          await action().then(resolve, reject);
        },
        giveUp: () => {
          this.waiting.delete(call);
          reject(this.#killed ? killed() : new LazydiskError('UNREACHABLE', `${key} was not answered in time.`));
        },
      };
      this.waiting.add(call);
    });
  }
}

function killed(): LazydiskError {
  return new LazydiskError('ABORTED', 'This host was killed.');
}
