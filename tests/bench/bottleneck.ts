/**
 * One direction of a slow link as arithmetic: when bytes that are handed in now come out at the other end.
 *
 * Model: bytes wait their turn in one queue (first in, first out, whoever sends them), pass the bottleneck at its rate, and
 * then travel for half a round trip. What has been handed in and has not passed the bottleneck is the backlog; a sender
 * that respects `hasRoom` keeps it within the buffer, as the window of TCP does when a router's buffer is full.
 *
 * Times are milliseconds on any clock that the caller passes in, so tests need none.
 */
export interface BottleneckSettings {
  /** How long bytes travel once they have passed the bottleneck: half of the round-trip time. */
  readonly delayMs: number;
  readonly bytesPerSecond: number;
  /** The backlog from which on senders have to wait. */
  readonly bufferBytes: number;
}

export class Bottleneck {
  readonly #settings: BottleneckSettings;
  /** When the last byte that was handed in has passed. */
  #freeAtMs = -Infinity;

  constructor(settings: BottleneckSettings) {
    this.#settings = settings;
  }

  /** Takes bytes in; returns when the last of them arrives. */
  admit(nowMs: number, bytes: number): number {
    const { bytesPerSecond, delayMs } = this.#settings;
    this.#freeAtMs = Math.max(nowMs, this.#freeAtMs) + (bytes * 1000) / bytesPerSecond;
    return this.#freeAtMs + delayMs;
  }

  /** Bytes that have been taken in and have not passed yet. */
  backlogBytes(nowMs: number): number {
    return (Math.max(0, this.#freeAtMs - nowMs) * this.#settings.bytesPerSecond) / 1000;
  }

  /** How many bytes may be handed in now; 0 or less: none. */
  roomBytes(nowMs: number): number {
    return this.#settings.bufferBytes - this.backlogBytes(nowMs);
  }
}
