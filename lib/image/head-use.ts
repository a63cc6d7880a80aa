/**
 * Who uses a head at this moment: how often it is open, how often for writing, which work runs on it, and whether its content
 * is being replaced.
 *
 * The rule: a content is replaced only while nobody has it open (BUSY), and from then on nobody opens it until the new one
 * stands (STALE), since he would read another one under the same name. No await stands between a question and what is done
 * upon its answer.
 */
import { LazydiskError } from '../util/errors.js';

/** What does not run beside another of its kind. */
export type HeadWork = 'commit' | 'revert' | 'removal';

export class HeadUse {
  /** What runs that changes what the head consists of; null: nothing. */
  work: HeadWork | null = null;
  private opens = 0;
  private writers = 0;
  private replacing = false;

  constructor(private readonly image: string) {}

  get openCount(): number {
    return this.opens;
  }

  /** Whether somebody has it open, or is about to. */
  private get isUsed(): boolean {
    return this.opens > 0 || this.writers > 0;
  }

  get hasWriters(): boolean {
    return this.writers > 0;
  }

  /** Whether nobody had it open before, nor was about to. STALE. */
  opened(): 'first' | 'further' {
    this.assertStays();
    const which = this.isUsed ? 'further' : 'first';
    this.opens++;
    return which;
  }

  closed(): void {
    this.opens--;
  }

  openedForWriting(): void {
    this.writers++;
  }

  closedForWriting(): void {
    this.writers--;
  }

  /** STALE while the content is being replaced. */
  assertStays(): void {
    if (!this.replacing) return;
    throw new LazydiskError('STALE', `The disk of ${this.image} is being replaced: look it up again.`);
  }

  /** BUSY while somebody has the disk open, or is about to. `verb`: what wants it closed. */
  assertClosed(verb: string): void {
    if (!this.isUsed) return;
    throw new LazydiskError('BUSY', `${this.image} is open: close disk.raw before ${verb}.`);
  }

  /** BUSY while another work runs. */
  assertNothingRuns(): void {
    if (this.work === null) return;
    throw new LazydiskError('BUSY', `A ${this.work} of ${this.image} is running: wait for its end.`);
  }

  /** Runs `job`, which makes another content; whoever opens the disk meanwhile is STALE. BUSY while somebody has it open. */
  async replace(job: () => Promise<void>): Promise<void> {
    this.assertClosed('its content is replaced');
    this.replacing = true;
    try {
      await job();
    } finally {
      this.replacing = false;
    }
  }

  /** Runs `first`; when that has succeeded, nobody opens the disk or works on it ever again. BUSY: it is open or at work. */
  async remove(first: () => Promise<void>): Promise<void> {
    this.assertNothingRuns();
    this.assertClosed('it is removed');
    this.work = 'removal';
    this.replacing = true;
    try {
      await first();
    } catch (error) {
      this.work = null;
      this.replacing = false;
      throw error;
    }
  }
}
