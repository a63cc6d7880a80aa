/**
 * Which head an image has on this host, and when that follows what other hosts publish.
 *
 * Without files of its own, a head is the newest snapshot: it follows at every look. A head with files follows only while
 * nobody could miss what it shows: clean, closed, not locked by us, and nothing of ours at work on it.
 */
import type { RandomId } from '../format/references.js';
import { orAborted } from '../util/abort.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type { Base } from './base.js';
import type { HeadParts, LocalHead } from './head.js';
import type { ImageSnapshots } from './image-snapshots.js';
import { headOfNewImage, headOnSnapshot } from './make-head.js';

export interface FollowParts {
  readonly heads: HeadParts;
  readonly readOnly: boolean;
}

export class FollowedHead {
  private looking: Promise<LocalHead | undefined> | undefined;

  constructor(
    private readonly parts: FollowParts,
    private readonly image: string,
    private readonly imageId: RandomId,
    private readonly snapshots: ImageSnapshots,
    private current: LocalHead | undefined,
  ) {}

  /** The head if it has files on this host. */
  get own(): LocalHead | undefined {
    return this.current?.isPersisted === true ? this.current : undefined;
  }

  /** The head as it was at the last look; also one whose disk was not made yet. */
  get known(): LocalHead | undefined {
    return this.current;
  }

  /** Undefined on a read-only mount, and in a new folder before its disk is made. */
  async look(signal?: AbortSignal): Promise<LocalHead | undefined> {
    if (this.parts.readOnly) return undefined;
    // One look at a time: two must not follow the same snapshot twice.
    this.looking ??= this.follow().finally(() => {
      this.looking = undefined;
    });
    const head = await orAborted(this.looking, signal);
    return head?.exists === true ? head : undefined;
  }

  /** The base of the head, or of a snapshot; to be given back. NOT_FOUND. */
  async acquireBase(number: number | undefined, signal?: AbortSignal): Promise<Base> {
    const { bases } = this.parts.heads;
    if (number !== undefined) return bases.acquire(await this.snapshots.living(number, signal));
    const head = await this.look(signal);
    if (head !== undefined) {
      const base = head.disk.currentBase;
      bases.retain(base);
      return base;
    }
    const newest = await this.snapshots.newest(signal);
    if (newest === undefined) throw new LazydiskError('NOT_FOUND', `${this.image} has no snapshot yet: commit first.`);
    return bases.acquire(newest.record);
  }

  /** A new image: its head, whose lock is taken, without a disk. LOCKED names the holder. */
  async reserve(signal?: AbortSignal): Promise<void> {
    const { heads } = this.parts;
    const head = await headOfNewImage(heads, this.image, this.imageId);
    try {
      await head.takeLock(signal);
      this.current = head;
    } catch (error) {
      await head.discard();
      throw error;
    }
  }

  /** A new image: its first disk. EXISTS. */
  async makeDisk(): Promise<LocalHead> {
    if (this.current === undefined) await this.reserve();
    const head = this.current!;
    await head.makeDisk();
    return head;
  }

  private async follow(): Promise<LocalHead | undefined> {
    const head = this.current;
    if (head !== undefined && isFixed(head)) return head;
    const newest = (await this.snapshots.listed()).at(-1);
    if (newest === undefined) return head;
    if (head !== undefined && newest.number <= head.record.seenNumber) return head;
    const record = await this.snapshots.record(newest.number);
    // Opened meanwhile: it stays what it is.
    if (head !== undefined && isFixed(head)) return head;
    if (head?.isPersisted === true) {
      // Opened in this moment: the same.
      await head.reset(record, record.number).catch((error: unknown) => {
        if (!hasCode(error, 'BUSY')) throw error;
      });
      return head;
    }
    await head?.close();
    this.current = headOnSnapshot(this.parts.heads, this.image, record);
    return this.current;
  }
}

/** Whether a head stays on its base, whatever others publish. */
function isFixed(head: LocalHead): boolean {
  return head.isLocal || head.record.lockHeld || head.isDirty() || head.openCount > 0 || head.use.work !== null;
}
