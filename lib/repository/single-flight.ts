/**
 * One piece of work per key, however many wait for it.
 *
 * Each caller may go away by its own signal: its wait ends, the work goes on for the others, and is aborted when nobody
 * waits any more. Nothing is remembered after the end: results belong into a cache, errors nowhere.
 */
import { allowManyWaits } from '../util/abort.js';
import { LazydiskError } from '../util/errors.js';

interface Flight<Value> {
  readonly result: Promise<Value>;
  readonly controller: AbortController;
  waiting: number;
}

export class SingleFlight<Value> {
  readonly #flights = new Map<string, Flight<Value>>();

  /** Joins the work under `key` or starts it. ABORTED when `signal` fires, else as `work`. */
  async run(key: string, work: (signal: AbortSignal) => Promise<Value>, signal?: AbortSignal): Promise<Value> {
    throwIfAborted(signal);
    const flight = this.#flights.get(key) ?? this.#start(key, work);
    flight.waiting++;
    try {
      return await orAborted(flight.result, signal);
    } finally {
      flight.waiting--;
      if (flight.waiting === 0) {
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.controller.abort();
      }
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<Value>): Flight<Value> {
    const controller = new AbortController();
    const flight: Flight<Value> = { result: work(controller.signal), controller, waiting: 0 };
    // Each waiter sees the error; when all have gone, nobody has to.
    flight.result.catch(() => undefined);
    this.#flights.set(key, flight);
    return flight;
  }
}

/** ABORTED when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw aborted(signal);
}

/** Settles as `promise`, or with ABORTED as soon as the signal fires. */
export function orAborted<Value>(promise: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(aborted(signal));
    if (signal.aborted) return onAbort();
    allowManyWaits(signal);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function aborted(signal: AbortSignal): LazydiskError {
  return new LazydiskError('ABORTED', 'The caller went away.', { cause: signal.reason });
}
