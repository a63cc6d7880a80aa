/** What two snapshots do not share, as extents of the disk: runs of chunks, to the byte at the end of the image. */
import type { Bytes } from '../format/geometry.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { LazydiskError } from '../util/errors.js';
import type { Repository, TreeReader } from './api.js';
import { diffTrees, type ChunkDifference } from './tree-diff.js';

/** `changed`: data on both sides; `written`: zeros before; `zeroed`: zeros after (or past its end). */
export type Change = 'changed' | 'written' | 'zeroed';

export interface DiffExtent {
  readonly offsetBytes: Bytes;
  readonly lengthBytes: Bytes;
  readonly change: Change;
}

/** A snapshot as a difference names it. */
export interface DiffEnd {
  readonly image: string;
  readonly number: number;
  readonly sizeBytes: Bytes;
}

export interface SnapshotDiff {
  readonly from: DiffEnd;
  readonly to: DiffEnd;
  readonly chunkSizeBytes: Bytes;
  /** Ascending, apart from one another or of different kinds. */
  readonly extents: readonly DiffExtent[];
  /** Bytes of the disk, by kind. */
  readonly changedBytes: Bytes;
  readonly writtenBytes: Bytes;
  readonly zeroedBytes: Bytes;
  /** What of `to` a host that has `from` would have to fetch, as it is stored. */
  readonly storedBytes: Bytes;
}

/** A snapshot by its name. */
export interface SnapshotName {
  readonly image: string;
  readonly number: number;
}

export interface DiffOptions {
  readonly trees?: TreeReader | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** NOT_FOUND, DAMAGED, UNSUPPORTED; USAGE: the two have chunks of different sizes. */
export async function diffSnapshots(
  repository: Repository,
  from: SnapshotName,
  to: SnapshotName,
  { trees = repository.trees(), signal }: DiffOptions = {},
): Promise<SnapshotDiff> {
  const [before, after] = (await Promise.all(
    [from, to].map(({ image, number }) => repository.readRecord(image, number, signal)),
  )) as [SnapshotRecord, SnapshotRecord];
  if (before.chunkSizeBytes !== after.chunkSizeBytes) {
    throw new LazydiskError(
      'USAGE',
      `${from.image} has chunks of ${before.chunkSizeBytes} bytes and ${to.image} of ${after.chunkSizeBytes}: only images with chunks of one size can be compared; export both and use cmp.`,
    );
  }
  const { chunkSizeBytes } = after;
  const extents = new Extents(chunkSizeBytes, Math.max(before.sizeBytes, after.sizeBytes));
  let storedBytes = 0;
  for await (const difference of diffTrees(trees, before, after, signal)) {
    extents.add(difference);
    storedBytes += difference.after?.storedBytes ?? 0;
  }
  return {
    from: { ...from, sizeBytes: before.sizeBytes },
    to: { ...to, sizeBytes: after.sizeBytes },
    chunkSizeBytes,
    extents: extents.list,
    changedBytes: extents.bytesOf('changed'),
    writtenBytes: extents.bytesOf('written'),
    zeroedBytes: extents.bytesOf('zeroed'),
    storedBytes,
  };
}

/** Joins neighbours of one kind. */
class Extents {
  readonly list: DiffExtent[] = [];

  constructor(
    private readonly chunkSizeBytes: Bytes,
    private readonly sizeBytes: Bytes,
  ) {}

  add({ chunk, before, after }: ChunkDifference): void {
    const change = after === null ? 'zeroed' : before === null ? 'written' : 'changed';
    const offsetBytes = chunk * this.chunkSizeBytes;
    const lengthBytes = Math.min(this.chunkSizeBytes, this.sizeBytes - offsetBytes);
    const last = this.list.at(-1);
    if (last?.change === change && last.offsetBytes + last.lengthBytes === offsetBytes) {
      this.list[this.list.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes };
    } else {
      this.list.push({ offsetBytes, lengthBytes, change });
    }
  }

  bytesOf(change: Change): Bytes {
    return this.list.reduce((sum, extent) => sum + (extent.change === change ? extent.lengthBytes : 0), 0);
  }
}
