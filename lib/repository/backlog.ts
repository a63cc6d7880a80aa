/**
 * What a snapshot writer has in memory, and who waits until it is less.
 *
 * Two bounds: plain chunks between put and coded, coded ones between coded and durable; and one for puts without bytes (zeros). When the
 * writer has failed nothing is bounded any more: whoever waits goes on, and meets the failure.
 */
import type { Bytes } from '../format/geometry.js';

export interface BacklogBounds {
  readonly plainBytes: Bytes;
  /** More than one open segment, or nothing would ever be closed. */
  readonly codedBytes: Bytes;
  readonly puts: number;
}

export class Backlog {
  #plainBytes = 0;
  #codedBytes = 0;
  #isOver = false;
  #waiting: (() => void)[] = [];

  /** `waitingPuts`: puts that have not got their place in the tree yet. */
  constructor(
    private readonly bounds: BacklogBounds,
    private readonly waitingPuts: () => number,
  ) {}

  /** A plain chunk has come; a negative number when it is not needed any more. */
  addPlain(bytes: Bytes): void {
    this.#plainBytes += bytes;
  }

  /** A coded chunk has come; a negative number when it is durable. */
  addCoded(bytes: Bytes): void {
    this.#codedBytes += bytes;
  }

  /** Resolves when there is room for another put. */
  async room(): Promise<void> {
    while (this.#isFull()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Something has become less: whoever waits looks again. */
  moved(): void {
    if (!this.#isFull()) this.#wake();
  }

  /** The writer has failed. */
  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  #isFull(): boolean {
    const { plainBytes, codedBytes, puts } = this.bounds;
    const isMuch = this.#plainBytes > plainBytes || this.#codedBytes > codedBytes || this.waitingPuts() > puts;
    return isMuch && !this.#isOver;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
