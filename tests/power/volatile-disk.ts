/**
 * A file system in memory that remembers what a loss of power may take away.
 *
 * Every sector of a file, its size, and the names of a folder have a history since they were last synced: its first state is
 * certainly on the disk, its last one is what everybody sees. After a loss of power each sector is in any state of its
 * history, each file has any size of its history, and a folder has gone through any number of its changes in order, as with
 * a journal. A sync of a file or a folder forgets all of its history but the last state. Nothing orders one file after
 * another, or the content of a file after its name: whoever relies on that has to sync. This is harsher than most disks are.
 *
 * Pure but for the random numbers, which are passed in. No links; renames within one folder only.
 */

/** What a sector can lose alone: a write of more may arrive in part. */
export const SECTOR_BYTES = 512;
/** In which holes are found. */
const BLOCK_BYTES = 4096;

export const ROOT = 1;

export type DiskErrno = 'ENOENT' | 'EEXIST' | 'ENOTDIR' | 'EISDIR' | 'ENOTEMPTY' | 'EXDEV' | 'ENXIO' | 'ENOSPC' | 'EIO';

/** An errno of the disk. */
export class DiskError extends Error {
  constructor(readonly code: DiskErrno) {
    super(code);
  }
}

/** A state and those before it since the last sync, oldest first; never empty. */
type History<T> = [T, ...T[]];

interface FileNode {
  readonly kind: 'file';
  readonly sizes: History<number>;
  /** By sector number; what is missing is zeros. A hole is null. */
  readonly sectors: Map<number, History<Buffer | null>>;
}

interface FolderNode {
  readonly kind: 'directory';
  readonly synced: Map<string, number>;
  readonly entries: Map<string, number>;
  /** Since the last sync: what each step set (a node) or took away (undefined). */
  readonly steps: (readonly [name: string, node: number | undefined])[][];
}

/** Which of its possible outcomes a loss of power takes. */
export type Loss = 'oldest' | 'newest' | 'any';

export class VolatileDisk {
  private readonly nodes = new Map<number, FileNode | FolderNode>([[ROOT, newFolder()]]);
  private nextNode = ROOT + 1;

  kindOf(node: number): 'file' | 'directory' {
    return this.node(node).kind;
  }

  sizeOf(node: number): number {
    const known = this.node(node);
    return known.kind === 'file' ? last(known.sizes) : 0;
  }

  /** Bytes that are no holes. */
  allocatedBytes(node: number): number {
    const known = this.node(node);
    if (known.kind === 'directory') return 0;
    const blocks = new Set<number>();
    for (const [sector, history] of known.sectors) if (last(history) !== null) blocks.add(blockOf(sector));
    return blocks.size * BLOCK_BYTES;
  }

  lookup(folder: number, name: string): number {
    const node = this.folder(folder).entries.get(name);
    if (node === undefined) throw new DiskError('ENOENT');
    return node;
  }

  list(folder: number): readonly (readonly [name: string, node: number])[] {
    return [...this.folder(folder).entries];
  }

  make(folder: number, name: string, kind: 'file' | 'directory'): number {
    const parent = this.folder(folder);
    if (parent.entries.has(name)) throw new DiskError('EEXIST');
    const node = this.nextNode++;
    this.nodes.set(node, kind === 'file' ? newFile() : newFolder());
    change(parent, [[name, node]]);
    return node;
  }

  remove(folder: number, name: string, kind: 'file' | 'directory'): void {
    const known = this.node(this.lookup(folder, name));
    if (known.kind !== kind) throw new DiskError(kind === 'file' ? 'EISDIR' : 'ENOTDIR');
    if (known.kind === 'directory' && known.entries.size > 0) throw new DiskError('ENOTEMPTY');
    change(this.folder(folder), [[name, undefined]]);
  }

  rename(folder: number, name: string, newFolder: number, newName: string): void {
    if (folder !== newFolder) throw new DiskError('EXDEV');
    const node = this.lookup(folder, name);
    change(this.folder(folder), [
      [newName, node],
      [name, undefined],
    ]);
  }

  read(node: number, offset: number, lengthBytes: number): Buffer {
    const file = this.file(node);
    const count = Math.max(0, Math.min(lengthBytes, last(file.sizes) - offset));
    const bytes = Buffer.alloc(count);
    forEachSector(offset, count, (sector, at, from, length) => {
      currentSector(file, sector)?.copy(bytes, at, from, from + length);
    });
    return bytes;
  }

  write(node: number, offset: number, bytes: Uint8Array): void {
    const file = this.file(node);
    forEachSector(offset, bytes.length, (sector, at, from, length) => {
      const next = Buffer.from(currentSector(file, sector) ?? Buffer.alloc(SECTOR_BYTES));
      next.set(bytes.subarray(at, at + length), from);
      push(file, sector, next);
    });
    if (offset + bytes.length > last(file.sizes)) file.sizes.push(offset + bytes.length);
  }

  truncate(node: number, sizeBytes: number): void {
    const file = this.file(node);
    const size = last(file.sizes);
    if (sizeBytes < size) this.punch(node, sizeBytes, size - sizeBytes);
    file.sizes.push(sizeBytes);
  }

  /** Zeros; whole sectors become holes. */
  punch(node: number, offset: number, lengthBytes: number): void {
    const file = this.file(node);
    const end = offset + lengthBytes;
    for (const sector of [...file.sectors.keys()]) {
      const start = sector * SECTOR_BYTES;
      if (start >= end || start + SECTOR_BYTES <= offset) continue;
      const current = currentSector(file, sector);
      if (current === null) continue;
      const from = Math.max(0, offset - start);
      const to = Math.min(SECTOR_BYTES, end - start);
      const isWhole = from === 0 && to === SECTOR_BYTES;
      push(file, sector, isWhole ? null : Buffer.from(current).fill(0, from, to));
    }
  }

  /** The next offset of data (or hole) in whole blocks. */
  seek(node: number, offset: number, whence: 'data' | 'hole'): number {
    const file = this.file(node);
    const size = last(file.sizes);
    if (offset >= size) throw new DiskError('ENXIO');
    const data = new Set<number>();
    for (const [sector, history] of file.sectors) if (last(history) !== null) data.add(blockOf(sector));
    if (whence === 'hole') {
      let block = Math.floor(offset / BLOCK_BYTES);
      while (data.has(block)) block++;
      return Math.min(size, Math.max(offset, block * BLOCK_BYTES));
    }
    const next = [...data].filter((block) => (block + 1) * BLOCK_BYTES > offset).sort((a, b) => a - b)[0];
    if (next === undefined || next * BLOCK_BYTES >= size) throw new DiskError('ENXIO');
    return Math.max(offset, next * BLOCK_BYTES);
  }

  /** fsync: the content of a file, or the names in a folder. */
  sync(node: number): void {
    const known = this.node(node);
    if (known.kind === 'file') {
      forget(known.sizes);
      for (const [sector, history] of known.sectors) {
        forget(history);
        if (history[0] === null) known.sectors.delete(sector);
      }
    } else {
      known.synced.clear();
      for (const [name, child] of known.entries) known.synced.set(name, child);
      known.steps.length = 0;
    }
  }

  /** What is there when the power is back. `random` gives numbers in [0, 1). */
  afterPowerLoss(loss: Loss, random: () => number): VolatileDisk {
    const survivor = new VolatileDisk();
    survivor.nodes.clear();
    const pick = (length: number): number => {
      if (loss === 'any') return Math.floor(random() * length);
      return loss === 'oldest' ? 0 : length - 1;
    };
    const visit = (node: number): void => {
      const known = this.node(node);
      if (known.kind === 'file') {
        survivor.nodes.set(node, survivingFile(known, pick));
        return;
      }
      const entries = new Map(known.synced);
      for (const step of known.steps.slice(0, pick(known.steps.length + 1))) apply(entries, step);
      survivor.nodes.set(node, { kind: 'directory', synced: new Map(entries), entries, steps: [] });
      for (const child of entries.values()) visit(child);
    };
    visit(ROOT);
    survivor.nextNode = this.nextNode;
    return survivor;
  }

  private node(node: number): FileNode | FolderNode {
    const known = this.nodes.get(node);
    if (known === undefined) throw new DiskError('ENOENT');
    return known;
  }

  private file(node: number): FileNode {
    const known = this.node(node);
    if (known.kind !== 'file') throw new DiskError('EISDIR');
    return known;
  }

  private folder(node: number): FolderNode {
    const known = this.node(node);
    if (known.kind !== 'directory') throw new DiskError('ENOTDIR');
    return known;
  }
}

function newFile(): FileNode {
  return { kind: 'file', sizes: [0], sectors: new Map() };
}

function newFolder(): FolderNode {
  return { kind: 'directory', synced: new Map(), entries: new Map(), steps: [] };
}

function change(folder: FolderNode, step: FolderNode['steps'][number]): void {
  apply(folder.entries, step);
  folder.steps.push(step);
}

function apply(entries: Map<string, number>, step: FolderNode['steps'][number]): void {
  for (const [name, node] of step) {
    if (node === undefined) entries.delete(name);
    else entries.set(name, node);
  }
}

function survivingFile(file: FileNode, pick: (length: number) => number): FileNode {
  const size = file.sizes[pick(file.sizes.length)]!;
  const sectors = new Map<number, History<Buffer | null>>();
  for (const [sector, history] of file.sectors) {
    const kept = history[pick(history.length)] ?? null;
    const valid = Math.min(SECTOR_BYTES, size - sector * SECTOR_BYTES);
    if (kept !== null && valid > 0) sectors.set(sector, [Buffer.from(kept).fill(0, valid)]);
  }
  return { kind: 'file', sizes: [size], sectors };
}

function currentSector(file: FileNode, sector: number): Buffer | null {
  const history = file.sectors.get(sector);
  return history === undefined ? null : last(history);
}

function push(file: FileNode, sector: number, state: Buffer | null): void {
  const history = file.sectors.get(sector);
  if (history === undefined) file.sectors.set(sector, [null, state]);
  else history.push(state);
}

function last<T>(history: History<T>): T {
  return history[history.length - 1]!;
}

function forget(history: History<unknown>): void {
  history.splice(0, history.length - 1);
}

function blockOf(sector: number): number {
  return Math.floor((sector * SECTOR_BYTES) / BLOCK_BYTES);
}

/** Calls back with each piece of a range: its sector, its place in the range, its place in the sector, its length. */
function forEachSector(
  offset: number,
  lengthBytes: number,
  callback: (sector: number, at: number, from: number, length: number) => void,
): void {
  for (let at = 0; at < lengthBytes;) {
    const sector = Math.floor((offset + at) / SECTOR_BYTES);
    const from = (offset + at) % SECTOR_BYTES;
    const length = Math.min(SECTOR_BYTES - from, lengthBytes - at);
    callback(sector, at, from, length);
    at += length;
  }
}
