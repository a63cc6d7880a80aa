/**
 * What goes on beside the reads of a base while some disk on it is open: readahead, replay and recording of its boot profile,
 * background fill.
 *
 * An attendance begins with the first open of a disk on the base and ends with the last close; disks that share a base share
 * it, so ten clones are filled once. Each of its works takes one signal and ends with it; nothing of it keeps the process
 * alive, and when nothing is open, nothing runs. A disk whose base moves by its own commit takes what it has touched along:
 * the new base is attended without recording or replaying a boot again.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { BootProfile } from '../format/profile.js';
import type { RandomId } from '../format/references.js';
import type { ParentReference } from '../format/snapshot-record.js';
import { hasCode, messageOf } from '../util/errors.js';
import type { FillMode, FillState, ReplayStatus } from './api.js';
import type { Base } from './base.js';
import type { Bases } from './bases.js';
import { fill } from './fill.js';
import { ProfileRun } from './profile-run.js';
import type { ProfileParts } from './profile-run.js';
import { ReadaheadStreams } from './readahead.js';

/** Of which image a base is opened: whose profile counts. */
export interface Subject {
  readonly image: string;
  readonly imageId: RandomId;
  /** The snapshot that the opened one was made from. */
  readonly parent: ParentReference | null;
}

export interface AttendanceParts extends ProfileParts {
  readonly bases: Bases;
  readonly fill: FillMode;
}

/** After a fill that the store has failed, the next one waits so long, then twice as long, up to the most, milliseconds. */
const FIRST_PAUSE_MS = 5000;
const LONGEST_PAUSE_MS = 600_000;

/** From the arrival of a profile to the fill of the rest, milliseconds. */
const REPLAYED_PAUSE_MS = 2000;

/** All attendances of a mount. */
export class Attendances {
  private readonly open = new Map<Base, { readonly attendance: Attendance; users: number }>();
  private readonly ending = new Set<Promise<void>>();
  /** What the last first open of a base came to, also after its end. */
  private readonly runs = new WeakMap<Base, ProfileRun>();
  /** Bounds what is put at the end. */
  private readonly putting = new AbortController();
  private closed = false;

  constructor(private readonly parts: AttendanceParts) {}

  /** A disk on the base is opened; one `leave` for each. */
  enter(base: Base, subject: Subject): void {
    this.begin(base, subject, 'first-open');
  }

  leave(base: Base): void {
    const known = this.open.get(base);
    if (known !== undefined && --known.users === 0) this.end(base, known.attendance);
  }

  /** A disk that is open has moved from one base to another by its own commit. */
  move(from: Base, to: Base, subject: Subject): void {
    if (from === to) return;
    this.begin(to, subject, 'moved');
    this.leave(from);
  }

  /** How far the base's fill is. */
  fillState(base: Base): FillState {
    return this.open.get(base)?.attendance.fillState ?? 'off';
  }

  /** The profile that the base was opened by; undefined: there was none, or it has not come yet. */
  replayedProfile(base: Base): BootProfile | undefined {
    return this.runs.get(base)?.profile;
  }

  /** null: the base was not opened, or profiles are off. */
  replayStatus(base: Base): ReplayStatus | null {
    return this.runs.get(base)?.status() ?? null;
  }

  /** Ends all and waits for it; what is still being put then, until the signal fires. Nothing begins any more. */
  async close(signal: AbortSignal): Promise<void> {
    this.closed = true;
    signal.addEventListener('abort', () => this.putting.abort(), { once: true });
    for (const [base, { attendance }] of this.open) this.end(base, attendance);
    await Promise.all(this.ending);
  }

  private begin(base: Base, subject: Subject, reason: 'first-open' | 'moved'): void {
    if (this.closed || base.map === null) return;
    const known = this.open.get(base);
    if (known !== undefined) {
      known.users++;
      return;
    }
    this.parts.bases.retain(base);
    const stopping = new AbortController();
    const isBoot = reason === 'first-open' && this.parts.profile !== 'off';
    const run = isBoot ? new ProfileRun(base, subject, this.parts, stopping.signal) : undefined;
    if (run !== undefined) this.runs.set(base, run);
    const attendance = new Attendance(base, subject, run, this.parts, stopping, this.putting.signal);
    this.open.set(base, { attendance, users: 1 });
  }

  private end(base: Base, attendance: Attendance): void {
    this.open.delete(base);
    const ending = attendance
      .end()
      .then(() => this.parts.bases.release(base))
      .catch((error: unknown) => {
        this.parts.log.error('what runs beside an open disk could not be ended', { error: messageOf(error) });
      })
      .finally(() => this.ending.delete(ending));
    this.ending.add(ending);
  }
}

class Attendance {
  fillState: FillState = 'off';
  private readonly works: readonly Promise<void>[];

  constructor(
    private readonly base: Base,
    private readonly subject: Subject,
    run: ProfileRun | undefined,
    private readonly parts: AttendanceParts,
    private readonly stopping: AbortController,
    putting: AbortSignal,
  ) {
    // What the profile names goes first: until it has been asked for, nobody knows what is near to the boot.
    const replayed = run?.replay() ?? Promise.resolve();
    this.works = [
      this.readAhead(),
      replayed.then(() => run?.record(putting)),
      replayed.then(() => this.keepFilled(run)),
    ];
  }

  async end(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.works);
  }

  private async readAhead(): Promise<void> {
    const streams = new ReadaheadStreams(this.base, this.stopping.signal);
    this.base.watchMisses((miss) => {
      streams.missed(miss);
    });
    await streams.run();
    this.base.watchMisses(undefined);
  }

  /**
   * A boot whose profile has come needs nothing more for the moment: link and processor are the guest's until a while after,
   * and what a short life of it would never use does not travel.
   */
  private async afterReplay(run: ProfileRun | undefined): Promise<void> {
    if (!((await run?.arrived()) ?? false)) return;
    await delay(REPLAYED_PAUSE_MS, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
  }

  /** Fills once; again, later and later, only when the store has failed. */
  private async keepFilled(run: ProfileRun | undefined): Promise<void> {
    const { signal } = this.stopping;
    const { parts } = this;
    if (parts.fill === 'off') return;
    this.fillState = 'running';
    if (parts.fill === 'idle') await this.afterReplay(run);
    const priority = parts.fill === 'eager' ? 'eager' : 'fill';
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      this.fillState = 'running';
      this.fillState = await fill(this.base, { priority, signal }).catch((error: unknown) => {
        if (!hasCode(error, 'ABORTED')) {
          const { image } = this.subject;
          parts.log.warn(`the fill of ${image} has to wait`, { error: messageOf(error), pauseMs });
        }
        return 'failed' as const;
      });
      if (this.fillState !== 'failed') return;
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }
}
