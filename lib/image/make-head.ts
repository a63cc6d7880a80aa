/**
 * The four ways in which a head comes to be: on a snapshot without files, for a new image, as a local clone, and from its record.
 *
 * What has a record has it durably before anybody gets the head. A head that is loaded trusts the side files that this boot may
 * trust (layer.ts), opens what its record lists, and begins to remove what it does not. One whose disk has failed has still
 * failed, within the same boot: after another one only what is on the disk is there, and no fsync has promised more.
 */
import { blockCount } from '../format/geometry.js';
import type { RandomId } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { HeadDisk } from './head-disk.js';
import { emptyRecord, treeOf, type HeadRecord } from './head-record.js';
import { LocalHead } from './head.js';
import type { HeadParts } from './head.js';
import { KeptRecord } from './kept-record.js';
import { unlistedLayers } from './layer-files.js';
import { Layer, type TrustedStates } from './layer.js';

/** The head of an image that has a snapshot and was never written here. Makes no files. */
export function headOnSnapshot(parts: HeadParts, image: string, base: SnapshotRecord): LocalHead {
  const record: HeadRecord = {
    ...emptyRecord(image, base.imageId, base.chunkSizeBytes, parts.bootId),
    contentId: `head/${base.imageId}/${base.commitId}`,
    base,
    seenNumber: base.number,
  };
  return withoutLayers(parts, new KeptRecord(parts.headsDirectory, record, false));
}

/** Of a new image, never committed, without a disk yet. */
export async function headOfNewImage(parts: HeadParts, image: string, imageId: RandomId): Promise<LocalHead> {
  return recorded(parts, emptyRecord(image, imageId, parts.repository.defaultChunkSizeBytes, parts.bootId));
}

/** Of a new image on a snapshot of the image `origin`, which no store knows of. */
export async function headOfLocalClone(
  parts: HeadParts,
  image: string,
  imageId: RandomId,
  base: SnapshotRecord,
  origin: string,
): Promise<LocalHead> {
  return recorded(parts, { ...emptyRecord(image, imageId, base.chunkSizeBytes, parts.bootId), base, origin });
}

/** A head that has a record. DAMAGED names the file of a layer that can't be read. */
export async function loadHead(parts: HeadParts, record: HeadRecord): Promise<LocalHead> {
  const kept = new KeptRecord(parts.headsDirectory, record, true);
  const layers = await openLayers(kept, record.bootId === parts.bootId ? 'live' : 'durable');
  const disk = new HeadDisk(parts, parts.bases.acquire(treeOf(record)), layers);
  // At the latest since now, when the kill came before the first note.
  const dirtySinceMs = record.dirtySinceMs ?? (disk.isDirty() ? parts.now() : null);
  const failedSync = record.bootId === parts.bootId ? record.failedSync : null;
  await kept.change({ bootId: parts.bootId, dirtySinceMs, failedSync });
  if (failedSync !== null) disk.rounds.fail(failedSync);
  const listed = record.layers.map((layer) => layer.id);
  disk.removeFiles(await unlistedLayers(kept.directory, listed));
  return new LocalHead(parts, kept, disk);
}

async function recorded(parts: HeadParts, record: HeadRecord): Promise<LocalHead> {
  const kept = new KeptRecord(parts.headsDirectory, record, false);
  await kept.change({});
  return withoutLayers(parts, kept);
}

function withoutLayers(parts: HeadParts, kept: KeptRecord): LocalHead {
  return new LocalHead(parts, kept, new HeadDisk(parts, parts.bases.acquire(treeOf(kept.value)), []));
}

async function openLayers({ directory, value }: KeptRecord, trusted: TrustedStates): Promise<Layer[]> {
  let sizeBytes = value.base?.sizeBytes ?? 0;
  const blocks = blockCount(sizeBytes);
  const layers: Layer[] = [];
  for (const { id } of value.layers) {
    const layer = await Layer.open(directory, id, blocks, trusted);
    sizeBytes = layer.sizeBytes ?? sizeBytes;
    layer.dropBehind(sizeBytes);
    // At once: a size that grows must not become durable before what lay behind the old one has gone.
    if (trusted === 'durable') await layer.settle();
    layers.push(layer);
  }
  return layers;
}
