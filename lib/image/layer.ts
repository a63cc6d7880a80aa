/**
 * One layer: the local writes of a head since a point in time, as files and as shared arrays.
 *
 * Files, in the head's folder: `<id>.data` (sparse, offset for offset), `<id>.live` and `<id>.durable` (side-file.ts).
 * States go only from `below` to `data` or `zero`, and between these two; a layer is dropped whole. Workers set `data`
 * (serve.ts); everything else here is for the main thread: `zero`, size and cut behind the gate, growth of the arrays
 * behind the gate (they are replaced, so the plane has to be published anew).
 *
 * The live file is written before the shared array, and never synced. After another boot it is made anew from the durable
 * one, under a temporary name, so that being killed meanwhile changes nothing.
 */
import { fdatasync } from 'node:fs';
import { promisify } from 'node:util';

import { BLOCK_SIZE } from '../format/geometry.js';
import { makeDurableFolder } from '../util/folders.js';
import { fallocate } from '../util/syscalls.js';
import { BlockStates } from './block-states.js';
import type { ChangedGroup } from './block-states.js';
import { closeAll, LayerFiles, NEW_HEADER } from './layer-files.js';
import type { LayerDescriptors } from './layer-files.js';
import { DATA, SIDE_HEADER_BYTES, ZERO } from './plane.js';
import type { LayerPlane } from './plane.js';
import { writeFully } from './serve.js';
import { forEachStoredStates, readSideHeader } from './side-file.js';
import type { SideHeader } from './side-file.js';

/** Which side file tells the truth: the live one within a boot, else the durable one. */
export type TrustedStates = 'live' | 'durable';

/** What one FSYNC round takes from a layer. */
export interface LayerChanges {
  readonly groups: readonly ChangedGroup[];
  readonly header: SideHeader | null;
}

const STATE_STRETCH = 1024 * 1024;

const fdatasyncAsync = promisify(fdatasync);

export class Layer {
  /** The header has changed since the last round took it. */
  headerChanged = false;
  /** What the durable file says. */
  private durableHeader: SideHeader;

  private constructor(
    readonly files: LayerFiles,
    private readonly descriptors: LayerDescriptors,
    private header: SideHeader,
    readonly blocks: BlockStates,
  ) {
    this.durableHeader = header;
  }

  /** Makes the files of a new, empty layer and syncs them and their folder: it may be listed in head.json afterwards. */
  static async create(directory: string, id: string, capacityBlocks: number): Promise<Layer> {
    const blocks = new BlockStates(capacityBlocks);
    const files = new LayerFiles(directory, id);
    await makeDurableFolder(directory);
    return new Layer(files, await files.create(), NEW_HEADER, blocks);
  }

  /** Opens the files of a listed layer. DAMAGED names the file that is not what it should be. */
  static async open(directory: string, id: string, capacityBlocks: number, trusted: TrustedStates): Promise<Layer> {
    const files = new LayerFiles(directory, id);
    if (trusted === 'durable') await files.rebuildLive();
    const descriptors = files.open();
    try {
      const layer = Layer.read(files, descriptors, capacityBlocks);
      // What no round has covered since the last process is not told apart: the next round copies all that is stored.
      layer.changeEverything();
      return layer;
    } catch (error) {
      closeAll(descriptors);
      throw error;
    }
  }

  private static read(files: LayerFiles, descriptors: LayerDescriptors, capacityBlocks: number): Layer {
    const { live } = descriptors;
    const path = files.path('live');
    const header = readSideHeader(live, files.id, path);
    let needed = Math.max(capacityBlocks, Math.ceil((header.sizeBytes ?? 0) / BLOCK_SIZE));
    forEachStoredStates(live, path, (firstBlock, { length }) => (needed = Math.max(needed, firstBlock + length)));
    const blocks = new BlockStates(needed);
    forEachStoredStates(live, path, (firstBlock, states) => {
      blocks.load(firstBlock, states);
    });
    return new Layer(files, descriptors, header, blocks);
  }

  get id(): string {
    return this.files.id;
  }

  get dataDescriptor(): number {
    return this.descriptors.data;
  }

  /** Size of the disk, bytes, or null when this layer has not changed it. */
  get sizeBytes(): number | null {
    return this.header.sizeBytes;
  }

  get cutBlock(): number {
    return this.header.cutBlock;
  }

  plane(): LayerPlane {
    const { states, changed, touched } = this.blocks;
    const { data, live } = this.descriptors;
    return { states, changed, touched, dataDescriptor: data, sideDescriptor: live, cutBlock: this.cutBlock };
  }

  /** Changes size and cut, the live file first. Lowering the cut or the size only behind the gate. */
  setHeader(header: SideHeader): void {
    this.files.writeHeader(this.descriptors.live, header);
    this.header = header;
    this.headerChanged = true;
  }

  /** Makes blocks zero, first and last included, behind the gate: punches the data file, then states, file before array. */
  zeroBlocks(first: number, last: number): void {
    const { data, live } = this.descriptors;
    fallocate(data, 'punch-hole', first * BLOCK_SIZE, (last - first + 1) * BLOCK_SIZE);
    for (let at = first; at <= last; at += STATE_STRETCH) {
      const count = Math.min(STATE_STRETCH, last - at + 1);
      writeFully(live, Buffer.alloc(count, ZERO), 0, count, SIDE_HEADER_BYTES + at);
    }
    this.blocks.fill(ZERO, first, last);
  }

  /**
   * Takes away what lies behind the end of the disk: writes that never counted, because they have failed, or because the size that
   * goes with them was lost. Else the disk would show them when it grows again. Not durable before the next round, or `settle`.
   */
  dropBehind(sizeBytes: number): void {
    const behind = Math.ceil(sizeBytes / BLOCK_SIZE);
    const { states } = this.blocks;
    this.blocks.forEachTouchedGroup((first, end) => {
      const from = Math.max(first, behind);
      if (from < end && states.subarray(from, end).includes(DATA)) this.zeroBlocks(from, end - 1);
    });
    if (sizeBytes === behind * BLOCK_SIZE || states[behind - 1] !== DATA) return;
    const tail = Buffer.alloc(behind * BLOCK_SIZE - sizeBytes);
    writeFully(this.descriptors.data, tail, 0, tail.length, sizeBytes);
  }

  /** Whether no block has been written or zeroed, and the size is what lies below. */
  isEmpty(): boolean {
    return this.header.sizeBytes === null && this.blocks.isUntouched();
  }

  /** Takes what changed since the last call, with a copy of the states: what one round makes durable. */
  takeChanges(): LayerChanges {
    const groups = this.blocks.takeChanged();
    const header = this.headerChanged ? this.header : null;
    this.headerChanged = false;
    return { groups, header };
  }

  /** A round has failed: what it took has to be taken again. */
  returnChanges(changes: LayerChanges): void {
    this.blocks.returnChanged(changes.groups);
    if (changes.header !== null) this.headerChanged = true;
  }

  /** Step 1 of a round: the data reaches the disk. */
  async syncData(): Promise<void> {
    await fdatasyncAsync(this.descriptors.data);
  }

  /**
   * Step 2 of a round: the states reach the durable file. Sizes and cuts come last, in one sector; a smaller one not before
   * the zeros that go with it are there, or the disk would show what it was cut off from when it grows again.
   */
  async storeDurably(changes: LayerChanges): Promise<void> {
    if (changes.groups.length === 0 && changes.header === null) return;
    const { durable } = this.descriptors;
    for (const { firstBlock, states } of changes.groups) {
      writeFully(durable, states, 0, states.length, SIDE_HEADER_BYTES + firstBlock);
    }
    if (changes.header !== null) {
      if (cutsOff(changes.header, this.durableHeader)) await fdatasyncAsync(durable);
      this.files.writeHeader(durable, changes.header);
      this.durableHeader = changes.header;
    }
    await fdatasyncAsync(durable);
  }

  /** A round of this layer alone. */
  async settle(): Promise<void> {
    const changes = this.takeChanges();
    await this.syncData();
    await this.storeDurably(changes);
  }

  /** Marks everything that is stored as changed, so that the next round covers it. */
  changeEverything(): void {
    this.blocks.changeEverything();
    this.headerChanged = true;
  }

  /** Closes the files. No thread may use the plane any more. */
  close(): void {
    closeAll(this.descriptors);
  }
}

/** Whether a disk with the new header may end, or hide what lies below, earlier than with the old one. */
function cutsOff(header: SideHeader, old: SideHeader): boolean {
  return header.cutBlock < old.cutBlock || (header.sizeBytes ?? Infinity) < (old.sizeBytes ?? Infinity);
}
