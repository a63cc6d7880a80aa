/**
 * Flat files: snapshots that are kept a second time, each as one sparse local file that is byte for byte the snapshot.
 *
 * What for: the slots of the mirror hold chunks in any order, so each read goes through us; a flat file can be handed to the
 * kernel, which reads it like any local file. The price is its space. It is made when somebody asks, and is disposable: the
 * mirror and the store still have everything.
 *
 * A flat file is written under another name from verified reads, synced, and renamed: under its own name it is whole, after
 * a crash as well. Its name is the snapshot's content id, which never stands for other bytes. A file of the wrong size is
 * not ours and is removed.
 *
 * A descriptor is open while somebody holds the file; one that is dropped meanwhile goes when the last of them lets go.
 */
import { closeSync, openSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted } from '../util/abort.js';
import { LazydiskError } from '../util/errors.js';
import { syncFolder } from '../util/folders.js';
import { writeAll } from '../util/write-all.js';
import type { Disk } from './api.js';
import { isFull } from './room.js';

const ENDING = '.raw';
const UNFINISHED = '.unfinished';
const PIECE_BYTES = 1024 * 1024;
/** Pieces that are read and written at once. */
const AT_ONCE = 8;

/** What `make` answers, in bytes. */
export interface FlatFile {
  readonly sizeBytes: number;
  /** Of data; the rest are holes. */
  readonly dataBytes: number;
}

/** What a flat file is made from: a snapshot. */
export type FlatSource = Pick<Disk, 'contentId' | 'sizeBytes' | 'read' | 'seek'>;

/** Where flat files are. */
export interface FlatStore {
  /** Keeps the snapshot as a flat file; joins one that is being made. NO_SPACE, ABORTED, and what reading rejects with. */
  make(source: FlatSource, signal?: AbortSignal): Promise<FlatFile>;
  /** Removes it; false when there is none. Who holds it keeps reading it. */
  drop(contentId: string): Promise<boolean>;
  /** An open descriptor of the flat file, until `letGo`; undefined when there is none to be had. Never rejects. */
  hold(contentId: string, sizeBytes: number): Promise<number | undefined>;
  letGo(contentId: string): void;
}

/** The store of a host that keeps none. */
export const noFlatFiles: FlatStore = {
  make: () => Promise.reject(new LazydiskError('UNSUPPORTED', 'Flat files are not kept here.')),
  drop: () => Promise.resolve(false),
  hold: () => Promise.resolve(undefined),
  letGo: () => undefined,
};

interface Held {
  readonly descriptor: number;
  holders: number;
}

export class FlatFiles implements FlatStore {
  private readonly whole = new Set<string>();
  private readonly held = new Map<string, Held>();
  private readonly making = new Map<string, Promise<FlatFile>>();

  private constructor(private readonly directory: string) {}

  /** Looks what is there; what was not finished is removed. */
  static async open(directory: string): Promise<FlatFiles> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const files = new FlatFiles(directory);
    for (const name of await readdir(directory)) {
      if (name.endsWith(ENDING)) files.whole.add(name);
      else if (name.endsWith(UNFINISHED)) await rm(join(directory, name), { force: true });
    }
    return files;
  }

  make(source: FlatSource, signal?: AbortSignal): Promise<FlatFile> {
    const name = nameOf(source.contentId);
    const running = this.making.get(name) ?? this.write(name, source, signal).finally(() => this.making.delete(name));
    this.making.set(name, running);
    return running;
  }

  async drop(contentId: string): Promise<boolean> {
    const name = nameOf(contentId);
    if (!this.whole.delete(name)) return false;
    await rm(join(this.directory, name), { force: true });
    return true;
  }

  async hold(contentId: string, sizeBytes: number): Promise<number | undefined> {
    const name = nameOf(contentId);
    if (!this.whole.has(name)) return undefined;
    const path = join(this.directory, name);
    const size = await stat(path).then(
      (found) => found.size,
      () => undefined,
    );
    if (size !== sizeBytes) {
      await this.drop(contentId);
      return undefined;
    }
    return this.take(name, path);
  }

  letGo(contentId: string): void {
    const name = nameOf(contentId);
    const held = this.held.get(name);
    if (held === undefined || --held.holders > 0) return;
    this.held.delete(name);
    closeSync(held.descriptor);
  }

  /** At the end of the mount, when nobody reads any more. */
  async close(): Promise<void> {
    await Promise.allSettled(this.making.values());
    for (const { descriptor } of this.held.values()) closeSync(descriptor);
    this.held.clear();
  }

  /** In one turn: nobody may drop the file between the look and the open. */
  private take(name: string, path: string): number | undefined {
    const held = this.held.get(name);
    if (held !== undefined) {
      held.holders++;
      return held.descriptor;
    }
    try {
      const descriptor = openSync(path, 'r');
      this.held.set(name, { descriptor, holders: 1 });
      return descriptor;
    } catch {
      return undefined; // dropped just now, or no descriptors left: the snapshot is served without it
    }
  }

  private async write(name: string, source: FlatSource, signal: AbortSignal | undefined): Promise<FlatFile> {
    const unfinished = join(this.directory, `${name}${UNFINISHED}`);
    const file = await open(unfinished, 'w', 0o600);
    try {
      let dataBytes: number;
      try {
        await file.truncate(source.sizeBytes());
        dataBytes = await copyData(source, file, signal);
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(unfinished, join(this.directory, name));
      await syncFolder(this.directory);
      this.whole.add(name);
      return { sizeBytes: source.sizeBytes(), dataBytes };
    } catch (error) {
      await rm(unfinished, { force: true });
      if (!isFull(error)) throw error;
      throw new LazydiskError('NO_SPACE', 'The local disk has no room for a flat copy of the snapshot.', {
        cause: error,
      });
    }
  }
}

/** Copies what is not a hole, on several lanes that share the pieces; returns how many bytes that were. */
async function copyData(source: FlatSource, file: FileHandle, signal: AbortSignal | undefined): Promise<number> {
  const pieces = dataPieces(source, signal);
  let dataBytes = 0;
  const lane = async (): Promise<void> => {
    for await (const { offset, lengthBytes } of pieces) {
      const bytes = await source.read(offset, lengthBytes, signal);
      await writeAll(file, bytes, offset);
      dataBytes += bytes.byteLength;
    }
  };
  // A lane that fails ends the pieces for all; the file is closed only when no lane writes any more.
  const lanes = await Promise.allSettled(Array.from({ length: AT_ONCE }, lane));
  const failed = lanes.find((ended) => ended.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return dataBytes;
}

interface Piece {
  readonly offset: number;
  readonly lengthBytes: number;
}

/** The data of the source, in pieces and in order. */
async function* dataPieces(source: FlatSource, signal: AbortSignal | undefined): AsyncGenerator<Piece, void> {
  const sizeBytes = source.sizeBytes();
  let offset = 0;
  while (offset < sizeBytes) {
    const start = await source.seek(offset, 'data', signal);
    if (start === undefined) return;
    const end = (await source.seek(start, 'hole', signal)) ?? sizeBytes;
    for (offset = start; offset < end; offset += PIECE_BYTES) {
      throwIfAborted(signal);
      yield { offset, lengthBytes: Math.min(PIECE_BYTES, end - offset) };
    }
    offset = end;
  }
}

function nameOf(contentId: string): string {
  return `${contentId.replaceAll('/', '-')}${ENDING}`;
}
