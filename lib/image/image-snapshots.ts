/**
 * The snapshots of one image as this host knows them: what the store lists, and what the record of its head says.
 *
 * The base of a head with files here is known without the store, so such an image has a snapshot while the store is away. Of a
 * local clone the store is never asked: what it may have under that name is another image.
 */
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { ImageListing } from '../repository/api.js';
import { noSuchTag } from '../repository/tags.js';
import { LazydiskError } from '../util/errors.js';
import type { SnapshotInfo } from './api.js';
import { ownBase } from './head-record.js';
import type { HeadParts, LocalHead } from './head.js';
import type { Listings, Snapshots } from './listings.js';
import { SnapshotDisk } from './snapshot-disk.js';

export interface SnapshotsParts {
  readonly heads: Pick<HeadParts, 'bases' | 'attendances' | 'feed'>;
  readonly listings: Listings;
}

export class ImageSnapshots {
  /** Those that somebody has looked at. */
  private readonly disks = new Map<number, SnapshotDisk>();

  /** `ownHead`: the image's head if it has files on this host. */
  constructor(
    private readonly parts: SnapshotsParts,
    private readonly image: string,
    private readonly ownHead: () => LocalHead | undefined,
  ) {}

  /** Of the living ones, ascending. */
  async numbers(signal?: AbortSignal): Promise<readonly number[]> {
    return (await this.listed(signal)).map(({ number }) => number);
  }

  async tags(signal?: AbortSignal): Promise<readonly string[]> {
    return (await this.listing(signal)).tags;
  }

  /** NOT_FOUND: no such tag. */
  async tagged(tag: string, age: 'recent' | 'now', signal?: AbortSignal): Promise<number> {
    const number = this.isLocal ? null : await this.parts.listings.tag(this.image, tag, age, signal);
    if (number === null) throw noSuchTag(this.image, tag, await this.tags(signal));
    return number;
  }

  async info(number: number, signal?: AbortSignal): Promise<SnapshotInfo> {
    const { sizeBytes, allocatedBytes, timeMs, label, commitId } = await this.living(number, signal);
    return { number, sizeBytes, allocatedBytes, timeMs, label, commitId };
  }

  async disk(number: number, signal?: AbortSignal): Promise<SnapshotDisk> {
    const record = await this.living(number, signal);
    const known = this.disks.get(number);
    if (known !== undefined) return known;
    const { bases, attendances, feed } = this.parts.heads;
    const disk = new SnapshotDisk(record, this.image, bases, attendances, feed);
    this.disks.set(number, disk);
    return disk;
  }

  /** The newest one; undefined: there is none. */
  async newest(signal?: AbortSignal): Promise<SnapshotDisk | undefined> {
    const number = (await this.numbers(signal)).at(-1);
    return number === undefined ? undefined : this.disk(number, signal);
  }

  /** The newest of those that somebody has looked at; nothing is asked. */
  newestSeen(): SnapshotRecord | undefined {
    return this.disks.get(Math.max(...this.disks.keys()))?.record;
  }

  /** The record of a snapshot that is there. NOT_FOUND. */
  async living(number: number, signal?: AbortSignal): Promise<SnapshotRecord> {
    const numbers = await this.numbers(signal);
    if (!numbers.includes(number)) {
      throw new LazydiskError(
        'NOT_FOUND',
        `${this.image} has no snapshot ${number}; it has: ${numbers.join(', ') || 'none'}.`,
      );
    }
    return this.record(number, signal);
  }

  /** The record of a snapshot that is listed. */
  async record(number: number, signal?: AbortSignal): Promise<SnapshotRecord> {
    const base = this.ownHead()?.record.base;
    return base?.number === number ? base : this.parts.listings.record(this.image, number, signal);
  }

  async listing(signal?: AbortSignal): Promise<ImageListing> {
    const known = this.knownListing();
    return this.isLocal && known !== undefined ? known : this.parts.listings.listing(this.image, signal, known);
  }

  /** The snapshots of the listing, without waiting for the lock where that can be. */
  async listed(signal?: AbortSignal): Promise<Snapshots> {
    const known = this.knownListing();
    if (this.isLocal && known !== undefined) return known.snapshots;
    return this.parts.listings.snapshots(this.image, signal, known);
  }

  private get isLocal(): boolean {
    return this.ownHead()?.isLocal === true;
  }

  /** What the head says; all there is of a local clone. Undefined: no head with files. */
  private knownListing(): ImageListing | undefined {
    const record = this.ownHead()?.record;
    if (record === undefined) return undefined;
    const base = ownBase(record);
    return {
      image: this.image,
      snapshots: base === null ? [] : [{ number: base.number, publishedMs: base.timeMs }],
      deleted: [],
      writer: null,
      tags: [],
      nextNumber: record.origin === null ? record.seenNumber + 1 : 1,
    };
  }
}
