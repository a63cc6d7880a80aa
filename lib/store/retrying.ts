/**
 * Decorator: tries again what failed as UNREACHABLE, and only that.
 *
 * Between attempts it waits a random time between nothing and a bound that doubles (exponential backoff with full jitter:
 * M. Brooker, "Exponential Backoff And Jitter", 2015), so that many hosts do not come back to a server all at once.
 *
 * Two clocks run. An attempt that takes longer than `attemptTimeoutMs` is given up and counts as UNREACHABLE. The whole
 * call ends with UNREACHABLE after `timeoutMs` at the latest, also in the middle of an attempt; when the next wait would
 * go beyond that, it ends at once. Giving up works through the signal, which every store honours. To both limits is added
 * the time that the call's bytes take at `slowestBytesPerSecond`: a slow link is not a dead one, and an upload that moves
 * must be able to end. (A get without a range adds nothing: only small objects are read whole.) A listing may have thousands of
 * pieces: an attempt that has got one has as long again for the next, and is not cut short by the end of the call.
 *
 * A put with `ifAbsent` whose answer was lost may have had its effect. When a later attempt meets EXISTS, the object is
 * read: the same bytes are taken for our own, and the put has succeeded. So callers that race must write bytes that differ
 * (lazydisk's records and locks hold the id of their writer).
 *
 * What it does not do: it can't call back a put that was given up and is still on its way; such a put may take effect
 * after the call has ended, as it may with a bare store.
 */
import { hasCode, LazydiskError, messageOf } from '../util/errors.js';
import { abortedError, onAbort, pause, throwIfAborted } from './calls.js';
import { systemClock, type Clock } from './clock.js';
import type { CallOptions, GetOptions, Listing, ListOptions, ObjectStore, PutOptions } from './object-store.js';

/** An attempt that failed and will be made again. */
export interface Retry {
  readonly operation: 'get' | 'put' | 'list' | 'delete';
  /** Key or prefix. */
  readonly key: string;
  /** Attempts so far, at least 1. */
  readonly attempts: number;
  readonly delayMs: number;
  readonly error: LazydiskError;
}

export interface RetryingOptions {
  /** How long a call is tried, milliseconds; 0: for ever. */
  readonly timeoutMs: number;
  /** How long one attempt may take, milliseconds. Default 60 s. */
  readonly attemptTimeoutMs?: number;
  /** Bytes a second below which a transfer counts as dead. Default 64 KiB. */
  readonly slowestBytesPerSecond?: number;
  /** Bound of the first wait, milliseconds. Default 100. */
  readonly firstDelayMs?: number;
  /** Bound of any wait, milliseconds. Default 10 s. */
  readonly longestDelayMs?: number;
  /** Told before each wait, for the log and the status. Must not throw. */
  readonly onRetry?: (retry: Retry) => void;
  readonly clock?: Clock;
  /** From 0 up to, not including, 1. */
  readonly random?: () => number;
}

/** `store`, tried again; closing closes `store`. */
export function retrying(store: ObjectStore, options: RetryingOptions): ObjectStore {
  return new RetryingStore(store, options);
}

interface Call {
  readonly operation: Retry['operation'];
  readonly key: string;
  /** Known size of the transfer. */
  readonly bytes: number;
  readonly signal: AbortSignal | undefined;
}

class RetryingStore implements ObjectStore {
  private readonly timeoutMs: number;
  private readonly attemptTimeoutMs: number;
  private readonly slowestBytesPerMs: number;
  private readonly firstDelayMs: number;
  private readonly longestDelayMs: number;
  private readonly onRetry: (retry: Retry) => void;
  private readonly clock: Clock;
  private readonly random: () => number;

  constructor(
    private readonly store: ObjectStore,
    options: RetryingOptions,
  ) {
    this.timeoutMs = options.timeoutMs === 0 ? Number.POSITIVE_INFINITY : options.timeoutMs;
    this.attemptTimeoutMs = options.attemptTimeoutMs ?? 60_000;
    this.slowestBytesPerMs = (options.slowestBytesPerSecond ?? 64 * 1024) / 1000;
    this.firstDelayMs = options.firstDelayMs ?? 100;
    this.longestDelayMs = options.longestDelayMs ?? 10_000;
    this.onRetry = options.onRetry ?? (() => undefined);
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? Math.random;
  }

  get location(): string {
    return this.store.location;
  }

  get(key: string, options: GetOptions = {}): Promise<Buffer> {
    const call: Call = { operation: 'get', key, bytes: options.range?.lengthBytes ?? 0, signal: options.signal };
    return this.persist(call, (signal) => this.store.get(key, { ...options, signal }));
  }

  put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    const call: Call = { operation: 'put', key, bytes: bytes.length, signal: options.signal };
    return this.persist(call, async (signal, attempt) => {
      try {
        await this.store.put(key, bytes, { ...options, signal });
      } catch (error) {
        // The first attempt found what somebody else had put; a later one may have found its own predecessor's work.
        if (attempt === 1 || !hasCode(error, 'EXISTS')) throw error;
        if (!(await this.holds(key, bytes, signal))) throw error;
      }
    });
  }

  list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    const call: Call = { operation: 'list', key: prefix, bytes: 0, signal: options.signal };
    return this.persist(call, (signal, _, moved) =>
      this.store.list(prefix, {
        ...options,
        signal,
        onPiece: () => {
          moved();
          options.onPiece?.();
        },
      }),
    );
  }

  delete(key: string, options: CallOptions = {}): Promise<void> {
    const call: Call = { operation: 'delete', key, bytes: 0, signal: options.signal };
    return this.persist(call, (signal) => this.store.delete(key, { ...options, signal }));
  }

  close(): Promise<void> {
    return this.store.close();
  }

  private async holds(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.store.get(key, { signal })).equals(bytes);
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return false;
      throw error;
    }
  }

  private async persist<T>(
    call: Call,
    attempt: (signal: AbortSignal, attempt: number, moved: () => void) => Promise<T>,
  ): Promise<T> {
    const allowanceMs = call.bytes / this.slowestBytesPerMs;
    const startMs = this.clock.nowMs();
    const leftMs = (): number => startMs + this.timeoutMs + allowanceMs - this.clock.nowMs();
    let telling: LazydiskError | undefined;
    for (let attempts = 1; ; attempts += 1) {
      throwIfAborted(call.signal, this.location);
      const fullMs = this.attemptTimeoutMs + allowanceMs;
      const deadlineMs = Math.min(fullMs, leftMs());
      const outcome = await this.attempt(call, deadlineMs, (signal, moved) => attempt(signal, attempts, moved));
      if (outcome.kind === 'done') return outcome.value;
      // An attempt that only ran out of the call's time says less than what had failed before it.
      const wasCutShort = outcome.kind === 'too slow' && deadlineMs < fullMs;
      if (telling === undefined || !wasCutShort) telling = outcome.error;
      const delayMs = this.random() * Math.min(this.longestDelayMs, this.firstDelayMs * 2 ** (attempts - 1));
      // An attempt without time would only replace a telling error by "too slow".
      if (delayMs >= leftMs()) throw this.exhausted(call, attempts, telling, this.clock.nowMs() - startMs);
      this.onRetry({ operation: call.operation, key: call.key, attempts, delayMs, error: outcome.error });
      await pause(delayMs, { clock: this.clock, signal: call.signal, location: this.location });
    }
  }

  /** One attempt with its own deadline. UNREACHABLE is an outcome, every other error is thrown. */
  private async attempt<T>(
    call: Call,
    deadlineMs: number,
    action: (signal: AbortSignal, moved: () => void) => Promise<T>,
  ): Promise<{ kind: 'done'; value: T } | { kind: 'failed' | 'too slow'; error: LazydiskError }> {
    const controller = new AbortController();
    const stopListening = onAbort(call.signal, () => controller.abort());
    const giveUpAfter = (ms: number): (() => void) => this.clock.after(ms, () => controller.abort());
    let cancelTimer = giveUpAfter(deadlineMs);
    const moved = (): void => {
      cancelTimer();
      cancelTimer = giveUpAfter(Math.min(this.attemptTimeoutMs, this.timeoutMs));
    };
    try {
      return { kind: 'done', value: await action(controller.signal, moved) };
    } catch (error) {
      if (call.signal?.aborted) throw abortedError(this.location);
      if (hasCode(error, 'UNREACHABLE')) return { kind: 'failed', error };
      if (controller.signal.aborted && hasCode(error, 'ABORTED')) {
        return { kind: 'too slow', error: this.tooSlow(call, deadlineMs, error) };
      }
      throw error;
    } finally {
      cancelTimer();
      stopListening();
    }
  }

  private tooSlow(call: Call, deadlineMs: number, cause: unknown): LazydiskError {
    return new LazydiskError(
      'UNREACHABLE',
      `${this.location} did not finish ${call.operation} ${call.key} within ${seconds(deadlineMs)} s.`,
      { cause, facts: { location: this.location, key: call.key, operation: call.operation } },
    );
  }

  private exhausted(call: Call, attempts: number, last: LazydiskError, elapsedMs: number): LazydiskError {
    const times = attempts === 1 ? 'once' : `${attempts} times`;
    return new LazydiskError(
      'UNREACHABLE',
      `${this.location} was tried ${times} in ${seconds(elapsedMs)} s, the last time with: ${messageOf(last)}`,
      { cause: last, facts: { ...last.facts, location: this.location, key: call.key, attempts } },
    );
  }
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(ms < 10_000 ? 1 : 0);
}
