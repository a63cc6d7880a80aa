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
import { closeSync, fdatasync, fsync, openSync, writeSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { BLOCK_SIZE } from '../format/geometry.js';
import { fallocate } from '../util/syscalls.js';
import { BELOW, DATA, NO_CUT, SIDE_HEADER_BYTES, STATES_PER_FLAG, ZERO } from './plane.js';
import type { LayerPlane } from './plane.js';
import { writeFully } from './serve.js';
import { encodeSideHeader, forEachStoredStates, readSideHeader, SIDE_HEADER_USED_BYTES } from './side-file.js';
import type { SideHeader } from './side-file.js';

/** Which side file tells the truth: the live one within a boot, else the durable one. */
export type TrustedStates = 'live' | 'durable';

/** Smallest capacity of the arrays: 1 GiB of disk costs 256 KiB of untouched memory. */
const MIN_CAPACITY_BLOCKS = 262_144;
const STATE_STRETCH = 1024 * 1024;

const fdatasyncAsync = promisify(fdatasync);
const fsyncAsync = promisify(fsync);

export class Layer {
  /** One byte per block. */
  states: Uint8Array<SharedArrayBuffer>;
  changed: Uint8Array<SharedArrayBuffer>;
  touched: Uint8Array<SharedArrayBuffer>;
  /** The header has changed since the last round took it. */
  headerChanged = false;
  /** What the durable file says. */
  private durableHeader: SideHeader;

  private constructor(
    readonly id: string,
    private readonly directory: string,
    readonly dataDescriptor: number,
    readonly liveDescriptor: number,
    readonly durableDescriptor: number,
    private header: SideHeader,
    capacityBlocks: number,
  ) {
    this.durableHeader = header;
    const capacity = roundUp(Math.max(capacityBlocks, MIN_CAPACITY_BLOCKS));
    this.states = sharedBytes(capacity);
    this.changed = sharedBytes(capacity / STATES_PER_FLAG);
    this.touched = sharedBytes(capacity / STATES_PER_FLAG);
  }

  /** Makes the files of a new, empty layer and syncs them and their folder: it may be listed in head.json afterwards. */
  static async create(directory: string, id: string, capacityBlocks: number): Promise<Layer> {
    await makeDirectory(directory);
    const header: SideHeader = { sizeBytes: null, cutBlock: NO_CUT };
    const descriptors: number[] = [];
    try {
      for (const kind of ['data', 'live', 'durable']) {
        descriptors.push(openSync(pathOf(directory, id, kind), 'wx+', 0o600));
      }
      const [data, live, durable] = descriptors as [number, number, number];
      for (const descriptor of [live, durable]) writeHeader(descriptor, id, header);
      for (const descriptor of descriptors) await fsyncAsync(descriptor);
      await syncDirectory(directory);
      return new Layer(id, directory, data, live, durable, header, capacityBlocks);
    } catch (error) {
      for (const descriptor of descriptors) closeSync(descriptor);
      await removeLayerFiles(directory, id).catch(() => undefined);
      throw error;
    }
  }

  /** Opens the files of a listed layer. DAMAGED names the file that is not what it should be. */
  static async open(directory: string, id: string, capacityBlocks: number, trusted: TrustedStates): Promise<Layer> {
    if (trusted === 'durable') await rebuildLive(directory, id);
    const livePath = pathOf(directory, id, 'live');
    const live = openSync(livePath, 'r+');
    const header = readSideHeader(live, id, livePath);
    let stored = 0;
    forEachStoredStates(
      live,
      livePath,
      (firstBlock, states) => (stored = Math.max(stored, firstBlock + states.length)),
    );
    const layer = new Layer(
      id,
      directory,
      openSync(pathOf(directory, id, 'data'), 'r+'),
      live,
      openSync(pathOf(directory, id, 'durable'), 'r+'),
      header,
      Math.max(capacityBlocks, stored, Math.ceil((header.sizeBytes ?? 0) / BLOCK_SIZE)),
    );
    forEachStoredStates(live, livePath, (firstBlock, states) => {
      layer.states.set(states, firstBlock);
      layer.flag(layer.touched, firstBlock, firstBlock + states.length - 1);
    });
    // What no round has covered since the last process is not told apart: the next round copies all that is stored.
    layer.changeEverything();
    return layer;
  }

  get capacityBlocks(): number {
    return this.states.length;
  }

  /** Size of the disk, bytes, or null when this layer has not changed it. */
  get sizeBytes(): number | null {
    return this.header.sizeBytes;
  }

  get cutBlock(): number {
    return this.header.cutBlock;
  }

  get sideHeader(): SideHeader {
    return this.header;
  }

  plane(): LayerPlane {
    return {
      states: this.states,
      changed: this.changed,
      touched: this.touched,
      dataDescriptor: this.dataDescriptor,
      sideDescriptor: this.liveDescriptor,
      cutBlock: this.header.cutBlock,
    };
  }

  /** Changes size and cut, the live file first. Lowering the cut or the size only behind the gate. */
  setHeader(header: SideHeader): void {
    writeHeader(this.liveDescriptor, this.id, header);
    this.header = header;
    this.headerChanged = true;
  }

  /** Makes blocks zero, first and last included, behind the gate: punches the data file, then states, file before array. */
  zeroBlocks(first: number, last: number): void {
    fallocate(this.dataDescriptor, 'punch-hole', first * BLOCK_SIZE, (last - first + 1) * BLOCK_SIZE);
    for (let at = first; at <= last; at += STATE_STRETCH) {
      const count = Math.min(STATE_STRETCH, last - at + 1);
      writeFully(this.liveDescriptor, Buffer.alloc(count, ZERO), 0, count, SIDE_HEADER_BYTES + at);
    }
    this.flag(this.touched, first, last);
    this.states.fill(ZERO, first, last + 1);
    this.flag(this.changed, first, last);
  }

  /**
   * Takes away what lies behind the end of a disk that has just been opened: writes that never counted, because the size that
   * goes with them was lost. Else the disk would show them when it grows again. Not durable before the next round, or `settle`.
   */
  dropBehind(sizeBytes: number): void {
    const behind = Math.ceil(sizeBytes / BLOCK_SIZE);
    this.forEachTouchedGroup((first, end) => {
      const from = Math.max(first, behind);
      if (from < end && this.states.subarray(from, end).includes(DATA)) this.zeroBlocks(from, end - 1);
    });
    if (sizeBytes === behind * BLOCK_SIZE || this.states[behind - 1] !== DATA) return;
    const tail = Buffer.alloc(behind * BLOCK_SIZE - sizeBytes);
    writeFully(this.dataDescriptor, tail, 0, tail.length, sizeBytes);
  }

  /** Replaces the arrays by larger ones, behind the gate. */
  grow(capacityBlocks: number): void {
    if (capacityBlocks <= this.capacityBlocks) return;
    const capacity = roundUp(Math.max(capacityBlocks, Math.min(this.capacityBlocks * 2, 2 ** 31)));
    this.states = copyInto(this.states, sharedBytes(capacity));
    this.changed = copyInto(this.changed, sharedBytes(capacity / STATES_PER_FLAG));
    this.touched = copyInto(this.touched, sharedBytes(capacity / STATES_PER_FLAG));
  }

  /** Whether no block has been written or zeroed, and the size is what lies below. */
  isEmpty(): boolean {
    return this.header.sizeBytes === null && !this.touched.includes(1);
  }

  /** Calls back for every group of STATES_PER_FLAG blocks in which something may not be `below`, in order. */
  forEachTouchedGroup(callback: (firstBlock: number, endBlock: number) => void): void {
    for (let group = this.touched.indexOf(1); group !== -1; group = this.touched.indexOf(1, group + 1)) {
      callback(group * STATES_PER_FLAG, (group + 1) * STATES_PER_FLAG);
    }
  }

  /** Blocks that hold data here. */
  countData(): number {
    let count = 0;
    this.forEachTouchedGroup((first) => {
      for (let block = first; block < first + STATES_PER_FLAG; block++) if (this.states[block] === DATA) count++;
    });
    return count;
  }

  /** Takes the groups that changed since the last call, with a copy of their states: what one round makes durable. */
  takeChanges(): LayerChanges {
    const groups: LayerChanges['groups'][number][] = [];
    for (let flag = this.changed.indexOf(1); flag !== -1; flag = this.changed.indexOf(1, flag + 1)) {
      if (Atomics.exchange(this.changed, flag, 0) === 0) continue;
      const first = flag * STATES_PER_FLAG;
      groups.push({ firstBlock: first, states: Buffer.from(this.states.subarray(first, first + STATES_PER_FLAG)) });
    }
    const header = this.headerChanged ? this.header : null;
    this.headerChanged = false;
    return { groups, header };
  }

  /** A round has failed: what it took has to be taken again. */
  returnChanges(changes: LayerChanges): void {
    for (const { firstBlock } of changes.groups) Atomics.store(this.changed, firstBlock / STATES_PER_FLAG, 1);
    if (changes.header !== null) this.headerChanged = true;
  }

  /** Step 1 of a round: the data reaches the disk. */
  async syncData(): Promise<void> {
    await fdatasyncAsync(this.dataDescriptor);
  }

  /**
   * Step 2 of a round: the states reach the durable file. Sizes and cuts come last, in one sector; a smaller one not before
   * the zeros that go with it are there, or the disk would show what it was cut off from when it grows again.
   */
  async storeDurably(changes: LayerChanges): Promise<void> {
    if (changes.groups.length === 0 && changes.header === null) return;
    for (const { firstBlock, states } of changes.groups) {
      writeFully(this.durableDescriptor, states, 0, states.length, SIDE_HEADER_BYTES + firstBlock);
    }
    if (changes.header !== null) {
      if (cutsOff(changes.header, this.durableHeader)) await fdatasyncAsync(this.durableDescriptor);
      writeHeader(this.durableDescriptor, this.id, changes.header);
      this.durableHeader = changes.header;
    }
    await fdatasyncAsync(this.durableDescriptor);
  }

  /** A round of this layer alone. */
  async settle(): Promise<void> {
    const changes = this.takeChanges();
    await this.syncData();
    await this.storeDurably(changes);
  }

  /** Marks everything that is stored as changed, so that the next round covers it. */
  changeEverything(): void {
    this.forEachTouchedGroup((first) => {
      Atomics.store(this.changed, first / STATES_PER_FLAG, 1);
    });
    this.headerChanged = true;
  }

  /** Closes the files. No thread may use the plane any more. */
  close(): void {
    for (const descriptor of [this.dataDescriptor, this.liveDescriptor, this.durableDescriptor]) closeSync(descriptor);
  }

  /** Removes the files of a closed layer that is no longer listed. */
  async remove(): Promise<void> {
    await removeLayerFiles(this.directory, this.id);
  }

  private flag(flags: Uint8Array, first: number, last: number): void {
    flags.fill(1, Math.floor(first / STATES_PER_FLAG), Math.floor(last / STATES_PER_FLAG) + 1);
  }
}

/** What one FSYNC round takes from a layer. */
export interface LayerChanges {
  readonly groups: readonly { readonly firstBlock: number; readonly states: Buffer }[];
  readonly header: SideHeader | null;
}

/** Removes the files of layers that head.json does not list: a kill came between unlisting and removing, or before listing. */
export async function removeUnlistedLayers(directory: string, listed: readonly string[]): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  const ids = new Set(names.map((name) => name.split('.')[0] ?? ''));
  for (const id of ids) {
    if (/^[0-9a-f]{32}$/.test(id) && !listed.includes(id)) await removeLayerFiles(directory, id);
  }
}

/** Makes a folder, and the folders above it; their names are durable when it resolves. */
export async function makeDirectory(directory: string): Promise<void> {
  const wanted = resolve(directory);
  const topmost = await mkdir(wanted, { recursive: true, mode: 0o700 });
  if (topmost === undefined) return;
  for (let made = wanted; made.length >= topmost.length; made = dirname(made)) await syncDirectory(dirname(made));
}

/** Syncs a folder, so that names made or removed in it are durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function removeLayerFiles(directory: string, id: string): Promise<void> {
  for (const kind of ['live', 'durable', 'data', 'live.new']) await rm(pathOf(directory, id, kind), { force: true });
}

/** Another boot: the live file becomes what the durable one says. */
async function rebuildLive(directory: string, id: string): Promise<void> {
  const durablePath = pathOf(directory, id, 'durable');
  const temporaryPath = pathOf(directory, id, 'live.new');
  const durable = openSync(durablePath, 'r');
  const live = openSync(temporaryPath, 'w', 0o600);
  try {
    writeHeader(live, id, readSideHeader(durable, id, durablePath));
    forEachStoredStates(durable, durablePath, (firstBlock, states) => {
      writeFully(live, states, 0, states.length, SIDE_HEADER_BYTES + firstBlock);
    });
  } finally {
    closeSync(durable);
    closeSync(live);
  }
  await rename(temporaryPath, pathOf(directory, id, 'live'));
}

/** Whether a disk with the new header may end, or hide what lies below, earlier than with the old one. */
function cutsOff(header: SideHeader, old: SideHeader): boolean {
  return header.cutBlock < old.cutBlock || (header.sizeBytes ?? Infinity) < (old.sizeBytes ?? Infinity);
}

function writeHeader(descriptor: number, id: string, header: SideHeader): void {
  const written = writeSync(descriptor, encodeSideHeader(id, header), 0, SIDE_HEADER_USED_BYTES, 0);
  if (written !== SIDE_HEADER_USED_BYTES)
    throw Object.assign(new Error('ENOSPC: side file header'), { code: 'ENOSPC' });
}

function pathOf(directory: string, id: string, kind: string): string {
  return join(directory, `${id}.${kind}`);
}

function sharedBytes(length: number): Uint8Array<SharedArrayBuffer> {
  return new Uint8Array(new SharedArrayBuffer(length));
}

/** Copies only what is not `below`: untouched memory stays untouched. */
function copyInto<T extends Uint8Array>(from: Uint8Array, to: T): T {
  for (let at = 0; at < from.length; at += STATES_PER_FLAG) {
    const stretch = from.subarray(at, at + STATES_PER_FLAG);
    if (stretch.some((value) => value !== BELOW)) to.set(stretch, at);
  }
  return to;
}

function roundUp(blocks: number): number {
  return Math.ceil(blocks / STATES_PER_FLAG) * STATES_PER_FLAG;
}
