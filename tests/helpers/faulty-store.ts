/**
 * A store that fails on demand: wraps another and injects faults, counts requests and bytes.
 *
 * A fault applies to calls of an operation, to keys that match, for a number of times, after a number of calls that are
 * let pass. Of several that apply, the one that was injected first is used. An outage fails everything before it has an
 * effect. Counted are the calls that come in, whatever becomes of them, and the bytes that came through.
 */
import { LazydiskError } from '../../lib/util/errors.js';
import type {
  ByteRange,
  CallOptions,
  GetOptions,
  Listing,
  ListOptions,
  ObjectStore,
  PutOptions,
} from '../../lib/store/object-store.js';

export type StoreOperation = 'get' | 'put' | 'list' | 'delete';

/** What goes wrong. The default error is UNREACHABLE. */
export type Fault =
  | { readonly kind: 'fail-before'; readonly error?: Error }
  | { readonly kind: 'fail-after'; readonly error?: Error }
  /** Waits until `releaseStalled` (then goes on as if nothing had been) or until the caller aborts (ABORTED). */
  | { readonly kind: 'stall' }
  /** Gets: fewer bytes than asked, as if that were right. */
  | { readonly kind: 'truncate'; readonly lengthBytes: number }
  /** Gets: bit `bit` (0: lowest of the first byte) is wrong. */
  | { readonly kind: 'flip-bit'; readonly bit: number };

export interface FaultScope {
  /** Default: every operation. */
  readonly operation?: StoreOperation;
  /** A key or prefix, or what matches it. Default: every key. */
  readonly key?: string | RegExp;
  /** Default 1; Infinity until `clearFaults`. */
  readonly times?: number;
  /** Calls in scope that pass before. Default 0. */
  readonly skip?: number;
}

/** A call that came in. */
export interface StoreCall {
  readonly operation: StoreOperation;
  /** Key or prefix. */
  readonly key: string;
  readonly range?: ByteRange | undefined;
}

export interface OperationCount {
  requests: number;
  /** Of successful gets and puts. */
  bytes: number;
}

export type StoreCounts = Record<StoreOperation, OperationCount>;

interface Injected {
  readonly fault: Fault;
  readonly scope: FaultScope;
  skip: number;
  times: number;
}

export class FaultyStore implements ObjectStore {
  /** Since construction or `resetCounts`. */
  counts: StoreCounts = noCounts();
  /** All calls in order, since construction or `resetCounts`. */
  calls: StoreCall[] = [];
  private injected: Injected[] = [];
  private outage = false;
  private readonly stalled = new Set<() => void>();
  private readonly watchers = new Set<() => void>();

  constructor(readonly inner: ObjectStore) {}

  get location(): string {
    return this.inner.location;
  }

  inject(fault: Fault, scope: FaultScope = {}): void {
    this.injected.push({ fault, scope, skip: scope.skip ?? 0, times: scope.times ?? 1 });
  }

  clearFaults(): void {
    this.injected = [];
    this.outage = false;
  }

  /** While on, every call fails with UNREACHABLE and has no effect. */
  setOutage(on: boolean): void {
    this.outage = on;
  }

  resetCounts(): void {
    this.counts = noCounts();
    this.calls = [];
  }

  /** Requests of all operations. */
  get requests(): number {
    return this.calls.length;
  }

  /** How many calls are stalled now. */
  get stalledCalls(): number {
    return this.stalled.size;
  }

  /** Lets every stalled call go on. */
  releaseStalled(): void {
    for (const release of [...this.stalled]) release();
  }

  /** Resolves as soon as `condition` holds; it is looked at whenever a call comes in, stalls or ends. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const watcher = (): void => {
          this.watchers.delete(watcher);
          resolve();
        };
        this.watchers.add(watcher);
      });
    }
  }

  get(key: string, options: GetOptions = {}): Promise<Buffer> {
    return this.run({ operation: 'get', key, range: options.range }, options.signal, async (fault) => {
      const isSpoilt = fault?.kind === 'truncate' || fault?.kind === 'flip-bit';
      // Nobody may see the good bytes of a get whose bytes are bad.
      const inner = isSpoilt ? { ...options, onBytes: undefined } : options;
      const bytes = spoil(await this.inner.get(key, inner), fault);
      if (isSpoilt && bytes.length > 0) options.onBytes?.(bytes, bytes.length);
      this.counts.get.bytes += bytes.length;
      return bytes;
    });
  }

  put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    return this.run({ operation: 'put', key }, options.signal, async () => {
      await this.inner.put(key, bytes, options);
      this.counts.put.bytes += bytes.length;
    });
  }

  list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    return this.run({ operation: 'list', key: prefix }, options.signal, () => this.inner.list(prefix, options));
  }

  delete(key: string, options: CallOptions = {}): Promise<void> {
    return this.run({ operation: 'delete', key }, options.signal, () => this.inner.delete(key, options));
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  private async run<T>(
    call: StoreCall,
    signal: AbortSignal | undefined,
    action: (fault: Fault | undefined) => Promise<T>,
  ): Promise<T> {
    this.calls.push(call);
    this.counts[call.operation].requests += 1;
    this.changed();
    try {
      if (this.outage) throw unreachable(call);
      const fault = this.faultFor(call);
      if (fault?.kind === 'fail-before') throw fault.error ?? unreachable(call);
      if (fault?.kind === 'stall') await this.stall(signal);
      const result = await action(fault);
      if (fault?.kind === 'fail-after') throw fault.error ?? unreachable(call);
      return result;
    } finally {
      this.changed();
    }
  }

  private faultFor(call: StoreCall): Fault | undefined {
    for (const injected of this.injected) {
      if (injected.times <= 0 || !covers(injected.scope, call)) continue;
      if (injected.skip > 0) {
        injected.skip -= 1;
        continue;
      }
      injected.times -= 1;
      return injected.fault;
    }
    return undefined;
  }

  private stall(signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.stalled.delete(release);
        signal?.removeEventListener('abort', onAbort);
      };
      const release = (): void => {
        leave();
        resolve();
      };
      const onAbort = (): void => {
        leave();
        reject(new LazydiskError('ABORTED', 'The caller went away while the call was stalled.'));
      };
      if (signal?.aborted) {
        onAbort();
        return;
      }
      signal?.addEventListener('abort', onAbort);
      this.stalled.add(release);
      this.changed();
    });
  }

  private changed(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}

function covers(scope: FaultScope, call: StoreCall): boolean {
  if (scope.operation !== undefined && scope.operation !== call.operation) return false;
  if (scope.key === undefined) return true;
  return typeof scope.key === 'string' ? scope.key === call.key : scope.key.test(call.key);
}

function spoil(bytes: Buffer, fault: Fault | undefined): Buffer {
  if (fault?.kind === 'truncate') return bytes.subarray(0, fault.lengthBytes);
  if (fault?.kind === 'flip-bit') {
    const at = Math.floor(fault.bit / 8);
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (fault.bit % 8)), at);
  }
  return bytes;
}

function unreachable(call: StoreCall): LazydiskError {
  return new LazydiskError('UNREACHABLE', `Injected: ${call.operation} ${call.key} was not answered.`);
}

function noCounts(): StoreCounts {
  return {
    get: { requests: 0, bytes: 0 },
    put: { requests: 0, bytes: 0 },
    list: { requests: 0, bytes: 0 },
    delete: { requests: 0, bytes: 0 },
  };
}
