/**
 * What a head consists of, changed: its base and layers in `head.json` and on the disk that readers and writers see.
 *
 * The rule: the record first, durably, then the disk. A layer is listed before it is used, and unlisted before its files go;
 * with either record the disk shows the same, or (a revert) nothing has been thrown away yet. One change at a time: whoever
 * calls has the head's turn.
 */
import { randomId } from '../format/checksums.js';
import { blockCount } from '../format/geometry.js';
import type { RandomId } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { Base } from './base.js';
import type { HeadDisk } from './head-disk.js';
import { treeOf, type HeadRecord, type ListedLayer } from './head-record.js';
import type { HeadDiskParts } from './head-state.js';
import type { KeptRecord } from './kept-record.js';
import { Layer } from './layer.js';
import { withRoom } from './room.js';

/** Leaves of a new base that are looked up before it takes over, so that workers go on without a miss. */
const MAX_WARM_LEAVES = 64;
/** How long that may take, milliseconds: the store may be away. */
const WARM_UP_MS = 2000;

/** So many layers mean that commit after commit has failed; each costs every read a look. */
export const MAX_LAYERS = 8;

/** The layers that a commit publishes. */
export interface Frozen {
  readonly frozen: readonly Layer[];
  readonly pauseMs: number;
  /** False: what was written since an earlier freeze is not in it. */
  readonly isNow: boolean;
}

export class HeadStack {
  constructor(
    private readonly parts: HeadDiskParts,
    private readonly kept: KeptRecord,
    private readonly disk: HeadDisk,
  ) {}

  /** Lists a new layer durably, then puts it on top; the layers below carry the commit ids from then on. The pause, ms. */
  async push(commitIds: readonly RandomId[]): Promise<number> {
    const layer = await this.createLayer();
    const below = this.kept.value.layers.map((listed) => ({
      ...listed,
      commitIds: [...listed.commitIds, ...commitIds],
    }));
    try {
      await this.kept.change({ layers: [...below, { id: layer.id, commitIds: [] }] });
    } catch (error) {
      await this.giveUp(layer);
      throw error;
    }
    return this.disk.pushLayer(layer);
  }

  /**
   * The freeze of a commit: a new layer takes the writes; the others carry the commit's id, durably. Behind many failed
   * commits no further layer is added: the layers that are frozen already are committed first, and `isNow` is false.
   */
  async freeze(commitId: RandomId, maxLayers: number): Promise<Frozen> {
    // The commit id stands with a layer, also where nothing was written: a clone that is published as it is.
    if (this.kept.value.layers.length === 0) await this.push([]);
    const layers = this.disk.openLayers;
    if (layers.length < maxLayers) return { frozen: layers, pauseMs: await this.push([commitId]), isNow: true };
    const last = layers.length - 1;
    await this.kept.change({
      layers: this.kept.value.layers.map((listed, index) =>
        index === last ? listed : { ...listed, commitIds: [...listed.commitIds, commitId] },
      ),
    });
    return { frozen: layers.slice(0, last), pauseMs: 0, isNow: false };
  }

  /**
   * The base moves to a snapshot of our own; the layers that were frozen for it leave the stack, everything else stays.
   * `switched` is called once the disk stands on the new base, before anything is waited for.
   */
  async adopt(record: SnapshotRecord, switched: (base: Base) => void): Promise<void> {
    const included = (layer: ListedLayer): boolean => layer.commitIds.includes(record.commitId);
    const dropped = this.disk.openLayers.filter((_, index) => included(this.kept.value.layers[index]!));
    const base = this.parts.bases.acquire(record);
    await warmUp(base, this.disk.currentBase.loadedLeaves().slice(0, MAX_WARM_LEAVES));
    // Durable first: with either record the disk shows the same, so a kill in between changes nothing.
    try {
      await this.kept.change({
        base: record,
        origin: null,
        seenNumber: record.number,
        layers: this.kept.value.layers.filter((layer) => !included(layer)),
        dirtySinceMs: null,
      });
    } catch (error) {
      await this.parts.bases.release(base);
      throw error;
    }
    base.touches.takeOver(this.disk.currentBase.touches);
    const old = await this.disk.switchBase(base, dropped);
    switched(base);
    await this.disk.retire(dropped);
    await this.parts.bases.release(old);
  }

  /** All layers are thrown away, and the base is another one; null: an empty disk. */
  async replace(base: SnapshotRecord | null, seenNumber: number): Promise<void> {
    const dropped = this.disk.openLayers;
    const abandoned = this.kept.value.layers.flatMap((layer) => layer.commitIds);
    const next: HeadRecord = {
      ...this.kept.value,
      contentId: `head/${this.kept.value.imageId}/${randomId()}`,
      base,
      seenNumber,
      layers: [],
      dirtySinceMs: null,
      abandonedCommitIds: [...this.kept.value.abandonedCommitIds, ...abandoned],
    };
    // Durable first: when that fails, nothing has been thrown away.
    const layer = base === null ? await this.createLayer() : undefined;
    try {
      await this.kept.change({ ...next, layers: layer === undefined ? [] : [{ id: layer.id, commitIds: [] }] });
    } catch (error) {
      if (layer !== undefined) await this.giveUp(layer);
      throw error;
    }
    const old = await this.disk.switchBase(this.parts.bases.acquire(treeOf(next)), dropped);
    if (layer !== undefined) await this.disk.pushLayer(layer);
    await this.disk.retire(dropped);
    await this.parts.bases.release(old);
  }

  /** A layer that could not be listed: its files go at once only when it is sure that no record lists them. */
  private async giveUp(layer: Layer): Promise<void> {
    layer.close();
    if (!this.kept.isDoubtful) await layer.files.remove().catch(() => undefined);
  }

  private createLayer(): Promise<Layer> {
    const { directory } = this.kept;
    return withRoom(this.parts.mirror, () => Layer.create(directory, randomId(), blockCount(this.disk.sizeBytes)));
  }
}

/** Looks leaves up, as far as that is quick: who waits for it has the head's turn. */
async function warmUp(base: Base, leaves: readonly number[]): Promise<void> {
  const signal = AbortSignal.timeout(WARM_UP_MS);
  try {
    for (const first of leaves) await base.loadLeaf(first, signal);
  } catch {
    // What is not looked up now is looked up when it is read.
  }
}
