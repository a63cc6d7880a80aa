/**
 * Which node ids a disk is known by to the workers: counted, so that ten opens of one file are one plane.
 *
 * `refresh` is called whenever the plane has changed, in the synchronous turn of a gate section.
 */
import type { Plane, PlaneFeed } from './plane.js';

export class Exposure {
  private readonly counts = new Map<number, number>();

  constructor(
    private readonly feed: PlaneFeed,
    private readonly planeOf: (key: number) => Plane,
  ) {}

  expose(key: number): void {
    const count = this.counts.get(key) ?? 0;
    this.counts.set(key, count + 1);
    if (count === 0) this.feed.publish(this.planeOf(key));
  }

  conceal(key: number): void {
    const count = this.counts.get(key) ?? 0;
    if (count > 1) {
      this.counts.set(key, count - 1);
      return;
    }
    this.counts.delete(key);
    this.feed.withdraw(key);
  }

  /** All keys get the plane as it is now. */
  refresh(): void {
    for (const key of this.counts.keys()) this.feed.publish(this.planeOf(key));
  }

  /** Workers forget the disk, although it is open: every request comes to the main thread. */
  withdrawAll(): void {
    for (const key of this.counts.keys()) this.feed.withdraw(key);
  }

  isEmpty(): boolean {
    return this.counts.size === 0;
  }
}
