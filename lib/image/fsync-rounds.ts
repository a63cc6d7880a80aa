/**
 * FSYNC rounds of one head: everything that was acknowledged before the round began is durable when it ends.
 *
 * A round: exchange the changed flags and copy those states -> fdatasync the data of every layer -> write and fdatasync the
 * durable map with that copy -> answer. The copy is taken before the data is synced, so the durable map never names bytes
 * that are not on the disk; a write that comes later sets its flag again and belongs to the next round. A caller that comes
 * while a round runs joins the next one, not the running one: its writes may be later than the running round's copy.
 *
 * A failed round gives its flags back. One that had no room to write rejects with that, and can be asked for again. An
 * error of fdatasync is told by the kernel once and then forgotten, so it is final
 * for the head: `onFailure` says it, and every later call rejects with it, also after a restart (idle-rounds.ts).
 *
 * Layers are listed at the start of a round and must stay open until it ends: `exclusive` runs a change of the list
 * between two rounds.
 */
import { LazydiskError, messageOf } from '../util/errors.js';
import { Turns } from '../util/turns.js';
import type { Layer, LayerChanges } from './layer.js';
import { CONTROL_DIRTY } from './plane.js';
import { isFull } from './room.js';

export class FsyncRounds {
  private readonly turns = new Turns();
  private next: Promise<void> | undefined;
  private failure: LazydiskError | undefined;

  constructor(
    private readonly control: Uint32Array<SharedArrayBuffer>,
    private readonly layers: () => readonly Layer[],
    private readonly onFailure: (failure: LazydiskError) => void,
  ) {}

  /**
   * Resolves when everything that was written before the call is durable. IO when the disk failed; a full one rejects as
   * node:fs does.
   */
  request(): Promise<void> {
    this.next ??= this.turns.take(async () => {
      this.next = undefined;
      await this.round();
    });
    return this.next;
  }

  /** The main thread has written: the next round is needed. */
  touch(): void {
    Atomics.store(this.control, CONTROL_DIRTY, 1);
  }

  /** Runs `change` while no round runs. */
  exclusive<T>(change: () => Promise<T>): Promise<T> {
    return this.turns.take(change);
  }

  /** Whether something was written since the last round took it. */
  isNeeded(): boolean {
    return Atomics.load(this.control, CONTROL_DIRTY) !== 0 || this.layers().some((layer) => layer.headerChanged);
  }

  /** The disk has failed, `cause` says how: every call rejects with that from now on. */
  fail(reason: string, cause?: unknown): LazydiskError {
    this.failure = new LazydiskError(
      'IO',
      `The local disk failed to keep writes of this image (${reason}): close it, look at the disk, open it anew.`,
      { cause, facts: { reason } },
    );
    this.onFailure(this.failure);
    return this.failure;
  }

  /** The head is opened anew: what could not be synced is tried again from the start. */
  forgetFailure(): void {
    this.failure = undefined;
  }

  private async round(): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    Atomics.store(this.control, CONTROL_DIRTY, 0);
    const taken: [Layer, LayerChanges][] = this.layers().map((layer) => [layer, layer.takeChanges()]);
    try {
      await Promise.all(taken.map(([layer]) => layer.syncData()));
      for (const [layer, changes] of taken) await layer.storeDurably(changes);
    } catch (error) {
      for (const [layer, changes] of taken) layer.returnChanges(changes);
      Atomics.store(this.control, CONTROL_DIRTY, 1);
      // No room to store the states: nothing has been forgotten by the kernel, and the next round tries again.
      if (isFull(error) && (error as NodeJS.ErrnoException).syscall !== 'fdatasync') throw error;
      throw this.fail(messageOf(error), error);
    }
  }
}
