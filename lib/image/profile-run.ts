/**
 * One boot by a profile: replay at the first open of a base, recording of what is touched then, and what that teaches.
 *
 * Replay asks for all chunks of the profile at once, in the class between readahead and fill. A recording needs no work of its
 * own: the log of first touches has it. It ends when nothing was touched for the first time for a while, after a limit, or with
 * the last close; what then looks like a boot is merged with the profile it was booted by, and put beside the image when that
 * changed it much. A put that fails is no error of anybody: the next boot tries again.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { ChunkNumber } from '../format/geometry.js';
import { MAX_PROFILE_BYTES } from '../format/profile.js';
import type { BootProfile } from '../format/profile.js';
import { writeProfile } from '../repository/profiles.js';
import { hasCode, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { ProfileMode, ReplayStatus } from './api.js';
import type { Subject } from './attendance.js';
import type { Base } from './base.js';
import { chunksOf, isWorthKeeping, mergedRanges } from './boot-profile.js';
import { findProfile } from './profile-lookup.js';
import type { FoundProfile, LookupParts } from './profile-lookup.js';

export interface ProfileParts extends LookupParts {
  readonly profile: ProfileMode;
  /** Whether profiles may be put. */
  readonly readOnly: boolean;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** What is less is a look at the image (its partitions, its file system's label), not a boot. Bytes of the image. */
const LEAST_BOOT_BYTES = 8 * 1024 * 1024;
/** How often a recording looks whether it is over, and when it is: milliseconds. */
const LOOK_MS = 5000;
const QUIET_MS = 15_000;
const LONGEST_MS = 180_000;

/** What is known of a recording. */
export interface RecordingFacts {
  readonly touchedBytes: number;
  readonly ageMs: number;
  /** Since the last first touch. */
  readonly quietMs: number;
}

/** Whether a recording goes on. One that has touched too much is a scan: it teaches nothing. */
export function decideRecording({ touchedBytes, ageMs, quietMs }: RecordingFacts): 'go on' | 'end' {
  const isOver = touchedBytes > MAX_PROFILE_BYTES || ageMs >= LONGEST_MS;
  return isOver || (touchedBytes >= LEAST_BOOT_BYTES && quietMs >= QUIET_MS) ? 'end' : 'go on';
}

/** Whether what was touched is a boot that a profile can learn from. */
export function isBoot(touchedBytes: number): boolean {
  return touchedBytes >= LEAST_BOOT_BYTES && touchedBytes <= MAX_PROFILE_BYTES;
}

export class ProfileRun {
  private found: FoundProfile | undefined;
  private prefetched: readonly ChunkNumber[] = [];
  private fetching: Promise<unknown> = Promise.resolve();
  private recording: boolean;
  private looked = false;

  constructor(
    private readonly base: Base,
    private readonly subject: Subject,
    private readonly parts: ProfileParts,
    private readonly signal: AbortSignal,
  ) {
    const isFirstOpen = base.touches.count() * base.tree.chunkSizeBytes < LEAST_BOOT_BYTES;
    this.recording = parts.profile === 'auto' && !parts.readOnly && isFirstOpen;
  }

  /** What is replayed; undefined: nothing. */
  get profile(): BootProfile | undefined {
    return this.found?.profile;
  }

  status(): ReplayStatus {
    const { chunkSizeBytes } = this.base.tree;
    const unused = this.prefetched.filter((chunk) => !this.base.touches.has(chunk)).length;
    return {
      from: this.found?.image ?? null,
      prefetchedBytes: this.prefetched.length * chunkSizeBytes,
      unusedBytes: unused * chunkSizeBytes,
      recording: this.recording,
    };
  }

  /** Finds the profile and asks for its chunks; resolves once they are asked for. Never rejects. */
  async replay(): Promise<void> {
    const { base, signal } = this;
    try {
      this.found = await findProfile(this.subject, this.parts, signal);
      this.looked = true;
      if (this.found === undefined) return;
      const chunks = chunksOf(this.found.profile.ranges, base.tree.chunkSizeBytes, base.chunks);
      const wanted = await base.missing(chunks, signal);
      this.prefetched = wanted.map(({ chunk }) => chunk);
      this.fetching = base.prefetch(wanted, 'prefetch', signal).catch(() => undefined);
    } catch (error) {
      // A damaged profile is replaced by the next one that is recorded; what can't be asked for now is not.
      if (hasCode(error, 'DAMAGED') || hasCode(error, 'NOT_FOUND')) this.looked = true;
      if (signal.aborted) return;
      this.parts.log.warn(`${this.subject.image} boots without a profile`, { error: messageOf(error) });
    }
  }

  /** Resolves when all that was asked for has come; false when that was nothing. Never rejects. */
  async arrived(): Promise<boolean> {
    await this.fetching;
    return this.prefetched.length > 0;
  }

  /** Records until the boot is over or the signal fires, and keeps what it taught. `putting` bounds the put. Never rejects. */
  async record(putting: AbortSignal): Promise<void> {
    if (this.recording) await this.untilOver();
    await this.fetching;
    if (!this.recording) return;
    this.recording = false;
    await this.keep(putting).catch((error: unknown) => {
      this.parts.log.info(`the boot profile of ${this.subject.image} was not kept`, { error: messageOf(error) });
    });
  }

  private async untilOver(): Promise<void> {
    const { base, signal } = this;
    const { now } = this.parts;
    const startMs = now();
    let touches = base.touches.count();
    let touchedMs = startMs;
    while (!signal.aborted) {
      await delay(LOOK_MS, undefined, { signal, ref: false }).catch(() => undefined);
      if (base.touches.count() !== touches) touchedMs = now();
      touches = base.touches.count();
      const touchedBytes = touches * base.tree.chunkSizeBytes;
      if (decideRecording({ touchedBytes, ageMs: now() - startMs, quietMs: now() - touchedMs }) === 'end') return;
    }
  }

  private async keep(putting: AbortSignal): Promise<void> {
    const { base, subject, found, parts } = this;
    const { chunkSizeBytes } = base.tree;
    const touched = touchedChunks(base);
    if (!this.looked || !isBoot(base.touches.count() * chunkSizeBytes)) return;
    const ranges = mergedRanges(found?.profile.ranges ?? [], touched, chunkSizeBytes);
    if (!isWorthKeeping(found?.profile ?? null, ranges)) return;
    const boots = (found?.profile.boots ?? 0) + 1;
    const profile = { formatVersion: 1, imageId: subject.imageId, timeMs: parts.now(), boots, ranges } as const;
    await writeProfile(parts.store, subject.image, profile, putting);
    parts.log.info(`the boot profile of ${subject.image} was kept`, { boots, ...this.status() });
  }
}

/** What was touched of a base and is not zero, in order. */
export function touchedChunks(base: Base): ChunkNumber[] {
  return base.touches.inOrder().filter((chunk) => !base.isKnownZero(chunk));
}
