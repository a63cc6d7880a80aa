/**
 * The disks that are open through the mount, by node id.
 *
 * Handles carry no state (0 reading, 1 writing), so the counts are kept per node: each open is told to the disk (`opened`,
 * `openForWriting`, `expose`) and each release is told back, once and in the reverse order. Requests on an open disk find it
 * here without asking the catalogue, so that they depend on nothing but the disk.
 *
 * Opens of an earlier daemon are told as opens at the start (mount/fuse/open-records.ts). A request on a node that is not open
 * here all the same comes from one that could not be counted. The disk is then adopted: opened once as that handle says and
 * kept open until the end of the mount, because nobody can know which release is the last. A head that was adopted can't be
 * reverted before the next mount.
 */
import type { Disk, Head, Opening } from '../../lib/image/api.js';
import { hasCode, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { stale } from './places.js';

/** Handle numbers of images. */
export const READ_HANDLE = 0;
export const WRITE_HANDLE = 1;

export type OpenMode = 'read' | 'write';

interface OpenDisk {
  readonly disk: Disk;
  /** Opens that a release will end. */
  readers: number;
  writers: number;
  /** Opens under way, and adopted ones: both keep the entry. */
  held: number;
  adoptedReader: boolean;
  adoptedWriter: boolean;
}

export class OpenDisks {
  readonly #open = new Map<number, OpenDisk>();
  readonly #adopting = new Map<string, Promise<Disk>>();

  constructor(private readonly log: Log) {}

  /** Opens a disk once more. What it rejects with is the head's: LOCKED, STALE, UNREACHABLE. */
  async open(node: number, found: Disk, mode: OpenMode, signal: AbortSignal, opening: Opening = 'new'): Promise<Disk> {
    const entry = this.#hold(node, found);
    try {
      await this.#begin(node, entry.disk, mode, signal, opening);
      if (mode === 'write') entry.writers++;
      else entry.readers++;
      return entry.disk;
    } finally {
      this.#letGo(node, entry);
    }
  }

  /** Ends one open. Never rejects. */
  async release(node: number, mode: OpenMode): Promise<void> {
    const entry = this.#open.get(node);
    if (entry === undefined || (mode === 'write' ? entry.writers : entry.readers) === 0) return;
    entry.held++;
    if (mode === 'write') entry.writers--;
    else entry.readers--;
    try {
      await this.#end(node, entry.disk, mode);
    } finally {
      this.#letGo(node, entry);
    }
  }

  /** The disk of a request on a descriptor that is open for `mode`; `find` is asked when nobody here has opened it. */
  async use(node: number, mode: OpenMode, find: () => Promise<Disk>): Promise<Disk> {
    const entry = this.#open.get(node);
    if (entry !== undefined && (mode === 'read' ? isInUse(entry) : isWritten(entry))) return entry.disk;
    const key = `${mode}/${node}`;
    const adopting = this.#adopting.get(key) ?? this.#adopt(node, mode, find).finally(() => this.#adopting.delete(key));
    this.#adopting.set(key, adopting);
    return adopting;
  }

  /** The disk of a node that is open: what can be told of it without asking the catalogue, or the store behind it. */
  peek(node: number): Disk | undefined {
    const entry = this.#open.get(node);
    return entry !== undefined && isInUse(entry) ? entry.disk : undefined;
  }

  async #adopt(node: number, mode: OpenMode, find: () => Promise<Disk>): Promise<Disk> {
    const entry = this.#hold(node, await find());
    try {
      await this.#begin(node, entry.disk, mode, new AbortController().signal, 'earlier');
      entry.held++;
      if (mode === 'write') entry.adoptedWriter = true;
      else entry.adoptedReader = true;
      return entry.disk;
    } finally {
      this.#letGo(node, entry);
    }
  }

  #hold(node: number, found: Disk): OpenDisk {
    let entry = this.#open.get(node);
    if (entry === undefined) {
      entry = { disk: found, readers: 0, writers: 0, held: 0, adoptedReader: false, adoptedWriter: false };
      this.#open.set(node, entry);
    }
    entry.held++;
    return entry;
  }

  #letGo(node: number, entry: OpenDisk): void {
    entry.held--;
    if (entry.held === 0 && entry.readers === 0 && entry.writers === 0) this.#open.delete(node);
  }

  /**
   * The order matters: the lock first, because it may move a head that nobody has open to a newer snapshot; then `opened`,
   * from which on the content stays; then, in the same turn, the question whether it is still the one that was asked for.
   */
  async #begin(node: number, disk: Disk, mode: OpenMode, signal: AbortSignal, opening: Opening): Promise<void> {
    if (!isHead(disk)) return disk.expose(node);
    const { contentId } = disk;
    if (mode === 'write') await this.#openForWriting(disk, signal, opening);
    let counted = false;
    try {
      disk.opened(opening);
      counted = true;
      if (disk.contentId !== contentId) throw stale('disk.raw');
      await disk.expose(node);
    } catch (error) {
      if (mode === 'write') disk.closeForWriting();
      if (counted) disk.closed();
      throw error;
    }
  }

  /** EBUSY has no room for a sentence: who holds the lock, and what to do about it, goes to the log. */
  async #openForWriting(head: Head, signal: AbortSignal, opening: Opening): Promise<void> {
    try {
      await head.openForWriting(signal, opening);
    } catch (error) {
      if (hasCode(error, 'LOCKED')) this.log.warn(messageOf(error));
      throw error;
    }
  }

  async #end(node: number, disk: Disk, mode: OpenMode): Promise<void> {
    try {
      await disk.conceal(node);
    } catch (error) {
      this.log.error('A disk could not be taken from the workers.', { node, reason: messageOf(error) });
    }
    if (!isHead(disk)) return;
    if (mode === 'write') disk.closeForWriting();
    disk.closed();
  }
}

function isWritten(entry: OpenDisk): boolean {
  return entry.writers > 0 || entry.adoptedWriter;
}

function isInUse(entry: OpenDisk): boolean {
  return entry.readers > 0 || entry.adoptedReader || isWritten(entry);
}

/** Whether a disk is a head: the one that can be written. */
export function isHead(disk: Disk): disk is Head {
  return 'openForWriting' in disk;
}
