/**
 * A fair semaphore with weights.
 *
 * A holder takes an amount of a capacity and gives it back. Waiters are served strictly in the order in which they came:
 * a small one never passes a big one, so that a big one can't starve. An amount above the capacity is cut to it: such a
 * holder runs alone. Aborting takes a waiter out of the line and has no effect on a holder.
 */
import { onAbort } from './calls.js';

interface Waiter {
  readonly amount: number;
  readonly admit: () => void;
}

/** Gives back what was taken; calling it again does nothing. */
export type Release = () => void;

export class Semaphore {
  private available: number;
  /** A set keeps the order of insertion, and an aborted waiter leaves it at no cost. */
  private readonly line = new Set<Waiter>();

  /** `capacity` in any unit, at least 1. */
  constructor(private readonly capacity: number) {
    if (!(capacity >= 1)) throw new RangeError(`a capacity of at least 1 was expected, not ${capacity}`);
    this.available = capacity;
  }

  /** How many wait. */
  get waiting(): number {
    return this.line.size;
  }

  /** Resolves when `amount` is taken. Rejects with the signal's reason when it fires before that. */
  async acquire(amount: number, signal?: AbortSignal): Promise<Release> {
    signal?.throwIfAborted();
    const taken = Math.min(Math.max(amount, 0), this.capacity);
    if (this.line.size === 0 && taken <= this.available) {
      this.available -= taken;
    } else {
      await this.wait(taken, signal);
    }
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.available += taken;
      this.admitWaiters();
    };
  }

  private wait(amount: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        amount,
        admit: () => {
          stopListening();
          resolve();
        },
      };
      const stopListening = onAbort(signal, () => {
        this.line.delete(waiter);
        reject(signal?.reason as Error);
        // It may have been the big one that those behind it waited for.
        this.admitWaiters();
      });
      this.line.add(waiter);
    });
  }

  private admitWaiters(): void {
    for (const waiter of this.line) {
      if (waiter.amount > this.available) return;
      this.available -= waiter.amount;
      this.line.delete(waiter);
      waiter.admit();
    }
  }
}
