/** How much of this host an image takes: what `status` and the metrics say, counted without the store. */
import type { HeadUsage } from './api.js';
import type { Base, BaseTree } from './base.js';
import type { LocalHead } from './head.js';

export function headUsage(head: LocalHead): HeadUsage {
  const { disk } = head;
  return {
    sizeBytes: head.sizeBytes(),
    localBytes: disk.currentBase.localBytes(),
    missingBytes: disk.currentBase.missingBytes(),
    dirtyBytes: disk.dirtyBytes(),
    layerAllocatedBytes: disk.layerAllocatedBytes(),
    layers: disk.openLayers.length,
    oldestUncommittedMs: head.isDirty() ? head.record.dirtySinceMs : null,
    openCount: head.openCount,
    committing: head.use.work === 'commit',
    failure: disk.failure?.message ?? null,
  };
}

/** Of an image that has no head here: the snapshot that it shows, and what is known of its base. */
export function snapshotUsage(tree: BaseTree | undefined, base: Base | undefined): HeadUsage {
  return {
    sizeBytes: tree?.sizeBytes ?? 0,
    localBytes: base?.localBytes() ?? 0,
    missingBytes: base?.missingBytes() ?? tree?.allocatedBytes ?? 0,
    dirtyBytes: 0,
    layerAllocatedBytes: 0,
    layers: 0,
    oldestUncommittedMs: null,
    openCount: 0,
    committing: false,
    failure: null,
  };
}
