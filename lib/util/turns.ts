/** Jobs that run one at a time, in the order in which they came: each begins when the one before has ended, whatever came of it. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  /** Settles as the job does. */
  take<T>(job: () => Promise<T>): Promise<T> {
    const done = this.last.then(job);
    this.last = done.catch(() => undefined);
    return done;
  }

  /** Resolves when every job that has come so far has ended. */
  async ended(): Promise<void> {
    await this.last;
  }
}
