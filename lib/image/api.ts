/**
 * Contracts of the image room: what a mount (or a program that uses the library) does with images.
 */
import type { Bytes } from '../format/geometry.js';
import type { BootProfile } from '../format/profile.js';
import type { RandomId } from '../format/references.js';
import type { Health, HeadUsage, ImageStatus } from './api-status.js';

export type { FillMode, FillState, Health, HeadUsage, ImageStatus, ProfileMode, ReplayStatus } from './api-status.js';

/** Outcome of a hydration: every chunk of the snapshot is on this host. */
export interface HydrateOutcome {
  readonly image: string;
  readonly localBytes: Bytes;
  /** What travelled, or was proven to be right, for it: bytes of the image in whole chunks. */
  readonly fetchedBytes: Bytes;
  readonly durationMs: number;
}

/** Something that reads like a raw disk: a snapshot or a head. */
export interface Disk {
  /**
   * Names this content for ever: two disks with the same id never show different bytes except by writes to that disk. A
   * head keeps it over its own commits and gets another one by revert, or when its clean base moves to a foreign snapshot.
   */
  readonly contentId: string;
  readonly chunkSizeBytes: Bytes;
  sizeBytes(): Bytes;
  /** Time of the content, milliseconds since 1970. */
  modifiedMs(): number;
  /** Bytes allocated: non-zero chunks of the base, blocks of the layers. Estimated where a node is neither local nor to be had. */
  allocatedBytes(): Promise<Bytes>;
  /** Exactly `lengthBytes`, or fewer at the end of the disk. Fetches what is missing. UNREACHABLE, DAMAGED, IO, ABORTED. */
  read(offset: Bytes, lengthBytes: Bytes, signal?: AbortSignal): Promise<Uint8Array>;
  /** The next offset >= `offset` of data (or hole); undefined when there is none before the end of the disk. */
  seek(offset: Bytes, whence: 'data' | 'hole', signal?: AbortSignal): Promise<Bytes | undefined>;
  /** Makes its plane known to workers under this key (the node id) until `conceal`. Counted: one conceal per expose. */
  expose(key: number): Promise<void>;
  conceal(key: number): Promise<void>;
}

/** Owner, mode and times that a head keeps (libvirt changes them). */
export interface HeadOwner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
}

/**
 * Whether an open happens now, which begins anew after a failure of the local disk, or is told of a descriptor that an earlier
 * process has opened. Default: new.
 */
export type Opening = 'new' | 'earlier';

/** The writable state of an image on this host. */
export interface Head extends Disk {
  /** null until somebody changes it. */
  owner(): HeadOwner | null;
  setOwner(owner: HeadOwner): Promise<void>;
  /**
   * To be called at each open for writing; takes the writer's lock at the first. LOCKED, READ_ONLY, UNREACHABLE; STALE: the
   * clean base had to move to a newer snapshot, look the head up again.
   */
  openForWriting(signal?: AbortSignal, opening?: Opening): Promise<void>;
  closeForWriting(): void;
  /**
   * Any open, reading or writing: revert and delete are BUSY meanwhile. To be called after `openForWriting`. Throws STALE
   * while the content is being replaced.
   */
  opened(opening?: Opening): void;
  closed(): void;
  write(offset: Bytes, bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Exactly so long. */
  truncate(sizeBytes: Bytes, signal?: AbortSignal): Promise<void>;
  /** At least so long: nothing that others write meanwhile is cut off. */
  extend(sizeBytes: Bytes, signal?: AbortSignal): Promise<void>;
  /** Zeros, the space is freed; never changes the size. */
  punch(offset: Bytes, lengthBytes: Bytes, signal?: AbortSignal): Promise<void>;
  /** Zeros; grows the disk unless keepSize. */
  zeroRange(offset: Bytes, lengthBytes: Bytes, keepSize: boolean, signal?: AbortSignal): Promise<void>;
  /** Everything that was written before the call is durable. Joins the next round. */
  fsync(): Promise<void>;
  isDirty(): boolean;
}

/** A living snapshot as the mount shows it. */
export interface SnapshotInfo {
  readonly number: number;
  readonly sizeBytes: Bytes;
  readonly allocatedBytes: Bytes;
  readonly timeMs: number;
  readonly label: string;
  readonly commitId: RandomId;
}

export interface ImageCommitOptions {
  readonly label?: string | undefined;
  /**
   * Publishes what the head shows as the first snapshot of a new image of this name; the head stays as it is. For changes that
   * another host has overtaken.
   */
  readonly as?: string | undefined;
  /** Called when the cut is taken: what is written from then on is not in the snapshot. Not called where nothing changed. */
  readonly onCut?: ((cut: CommitCut) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The moment that a commit holds. */
export interface CommitCut {
  /** How long writers were held up, milliseconds. */
  readonly pauseMs: number;
}

/** What `clone` has made. */
export interface CloneOutcome {
  readonly image: string;
  /** Its first snapshot; null: it is on this host only, until its first commit. */
  readonly number: number | null;
  /** The snapshot that it was made from. */
  readonly source: { readonly image: string; readonly number: number };
}

export interface CloneOptions {
  /** Default: what the head of the source stands on. */
  readonly number?: number | undefined;
  /** Commits the source first. */
  readonly commit?: boolean | undefined;
  /** Makes it on this host only: nothing is put. */
  readonly local?: boolean | undefined;
  /** Larger than the source: zeros follow it. As large as the source by default. */
  readonly sizeBytes?: Bytes | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Outcome of a commit. */
export interface CommitOutcome {
  readonly image: string;
  readonly number: number;
  /** False when nothing had changed since the base: no snapshot was made, `number` is the base. */
  readonly changed: boolean;
  readonly commitId: RandomId;
  readonly dirtyBytes: Bytes;
  readonly uploadedBytes: Bytes;
  /** How long writers were held up, milliseconds. */
  readonly pauseMs: number;
  readonly durationMs: number;
}

/** One image of a mount: its snapshots and its head. */
export interface Image {
  readonly name: string;
  readonly id: RandomId;
  /** Living snapshots, ascending, at most a second old. Degraded: what is known locally. */
  snapshots(signal?: AbortSignal): Promise<readonly number[]>;
  snapshotInfo(number: number, signal?: AbortSignal): Promise<SnapshotInfo>;
  /** Names of its tags, ascending, as old as `snapshots`. */
  tags(signal?: AbortSignal): Promise<readonly string[]>;
  /**
   * The number of the snapshot that a tag leads to, at most a second old, or as the store says `now`; degraded: what it said
   * last. The snapshot may have been deleted since. NOT_FOUND: no such tag.
   */
  tagged(tag: string, age: 'recent' | 'now', signal?: AbortSignal): Promise<number>;
  /** NOT_FOUND. */
  snapshot(number: number, signal?: AbortSignal): Promise<Disk>;
  /** The head; undefined on a read-only mount, or in a new folder before `createHead`. */
  head(signal?: AbortSignal): Promise<Head | undefined>;
  /** Makes the head of a new image (mkdir, then create disk.raw). EXISTS when there is one. */
  createHead(): Promise<Head>;
  /**
   * NOT_FOUND: no disk; BUSY; CONFLICT, EXISTS, LOCKED: what others have published is in the way; REFUSED names the right that
   * is missing; UNREACHABLE. Whatever it rejects with, the head is as it was.
   */
  commit(options: ImageCommitOptions): Promise<CommitOutcome>;
  /** BUSY while the head is open, or a commit or another revert runs. `number` undefined: the base. */
  revert(number?: number): Promise<void>;
  /**
   * Makes the head's base, or a snapshot, local. BUSY: the image is being hydrated; NO_SPACE, NOT_FOUND, UNREACHABLE, DAMAGED;
   * ABORTED when the catalogue is closed.
   */
  hydrate(number?: number): Promise<HydrateOutcome>;
  /** The boot profile that is kept with this image; null: it has none of its own. DAMAGED, UNREACHABLE. */
  profile(): Promise<BootProfile | null>;
  /**
   * Keeps what was touched of the disk since this mount has it as the image's profile, whatever there was. CONFLICT: nothing
   * was touched; READ_ONLY, UNREACHABLE, REFUSED.
   */
  recordProfile(): Promise<BootProfile>;
  /** Also when there is none. READ_ONLY, UNREACHABLE, REFUSED. */
  dropProfile(): Promise<void>;
  status(): Promise<ImageStatus>;
  /**
   * Of the head, as far as this host has one; sends no request. Takes a millisecond for some gigabytes of local writes: whoever
   * asks many images lets others have a turn in between.
   */
  usage(): HeadUsage | undefined;
}

/** All images of a mount. */
export interface Catalogue {
  readonly health: () => Health;
  /** A request to the store went unanswered: whether it is away is asked, and asked again until it is back. Returns at once. */
  doubtStore(): void;
  /** Names, ascending, at most a second old. */
  names(signal?: AbortSignal): Promise<readonly string[]>;
  /** Asks what the first look at a mount will want to know: names, and the newest records where the images are few. */
  lookAhead(): Promise<void>;
  /** Images whose head has files on this host or is open, ascending by name: known without the store. */
  held(): readonly Image[];
  /** undefined: no such image. */
  find(name: string, signal?: AbortSignal): Promise<Image | undefined>;
  /** A new image (mkdir): takes its lock. EXISTS, USAGE (name), READ_ONLY, UNREACHABLE. */
  create(name: string, signal?: AbortSignal): Promise<Image>;
  /** rmdir: only of an image never committed, or a local clone, that is not open; else CONFLICT. */
  remove(name: string): Promise<void>;
  /**
   * One PUT: `newName`@1 with the root of the snapshot; with `local` none. CONFLICT when the source's head has changes and
   * neither number nor commit was given; NOT_FOUND, EXISTS, USAGE (name), READ_ONLY, UNREACHABLE, REFUSED.
   */
  clone(name: string, newName: string, options: CloneOptions): Promise<CloneOutcome>;
  /** Gives up our lock of a clean, unopened head; LOCKED when it is somebody else's, BUSY, CONFLICT (dirty). */
  unlock(name: string): Promise<void>;
  /** Everything flushed, locks of clean heads given up (best effort, bounded by `timeoutMs`), files closed. */
  close(timeoutMs: number): Promise<void>;
}
