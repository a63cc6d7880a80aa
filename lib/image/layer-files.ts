/**
 * The files of one layer in its head's folder, by name: `<id>.data`, `<id>.live`, `<id>.durable` (layer.ts says what they hold).
 *
 * A name is all that there is to a layer that no record lists: `unlistedLayers` finds those that a kill has left.
 */
import { closeSync, fsync, openSync, writeSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { syncFolder } from '../util/folders.js';
import { NO_CUT, SIDE_HEADER_BYTES } from './plane.js';
import { writeFully } from './serve.js';
import { encodeSideHeader, forEachStoredStates, readSideHeader, SIDE_HEADER_USED_BYTES } from './side-file.js';
import type { SideHeader } from './side-file.js';

/** Open descriptors of a layer's files. */
export interface LayerDescriptors {
  readonly data: number;
  readonly live: number;
  readonly durable: number;
}

/** What a layer says before anybody has changed a size. */
export const NEW_HEADER: SideHeader = { sizeBytes: null, cutBlock: NO_CUT };

const fsyncAsync = promisify(fsync);

export class LayerFiles {
  constructor(
    readonly directory: string,
    readonly id: string,
  ) {}

  path(kind: 'data' | 'live' | 'durable' | 'live.new'): string {
    return join(this.directory, `${this.id}.${kind}`);
  }

  /** Opens the files of a listed layer. */
  open(): LayerDescriptors {
    return this.openEach('r+');
  }

  /** Makes the files of an empty layer; they and their names are durable when it resolves. Leaves nothing when it fails. */
  async create(): Promise<LayerDescriptors> {
    let descriptors: LayerDescriptors | undefined;
    try {
      descriptors = this.openEach('wx+');
      const { data, live, durable } = descriptors;
      for (const side of [live, durable]) this.writeHeader(side, NEW_HEADER);
      for (const descriptor of [data, live, durable]) await fsyncAsync(descriptor);
      await syncFolder(this.directory);
      return descriptors;
    } catch (error) {
      if (descriptors !== undefined) closeAll(descriptors);
      await this.remove().catch(() => undefined);
      throw error;
    }
  }

  /** Another boot: the live file becomes what the durable one says, under a temporary name until it is whole. */
  async rebuildLive(): Promise<void> {
    const durablePath = this.path('durable');
    const durable = openSync(durablePath, 'r');
    const live = openSync(this.path('live.new'), 'w', 0o600);
    try {
      this.writeHeader(live, readSideHeader(durable, this.id, durablePath));
      forEachStoredStates(durable, durablePath, (firstBlock, states) => {
        writeFully(live, states, 0, states.length, SIDE_HEADER_BYTES + firstBlock);
      });
    } finally {
      closeSync(durable);
      closeSync(live);
    }
    await rename(this.path('live.new'), this.path('live'));
  }

  writeHeader(descriptor: number, header: SideHeader): void {
    const written = writeSync(descriptor, encodeSideHeader(this.id, header), 0, SIDE_HEADER_USED_BYTES, 0);
    if (written !== SIDE_HEADER_USED_BYTES)
      throw Object.assign(new Error('ENOSPC: side file header'), { code: 'ENOSPC' });
  }

  /** Removes all that is small. */
  async removeSides(): Promise<void> {
    for (const kind of ['live', 'live.new', 'durable'] as const) await rm(this.path(kind), { force: true });
  }

  /** Removes the files of a closed layer that no record lists, at once: of one that holds little (else layer-removal.ts). */
  async remove(): Promise<void> {
    await this.removeSides();
    await rm(this.path('data'), { force: true });
  }

  private openEach(flags: 'r+' | 'wx+'): LayerDescriptors {
    const opened: number[] = [];
    const open = (kind: 'data' | 'live' | 'durable'): number => {
      const descriptor = openSync(this.path(kind), flags, 0o600);
      opened.push(descriptor);
      return descriptor;
    };
    try {
      return { data: open('data'), live: open('live'), durable: open('durable') };
    } catch (error) {
      for (const descriptor of opened) closeSync(descriptor);
      throw error;
    }
  }
}

export function closeAll({ data, live, durable }: LayerDescriptors): void {
  for (const descriptor of [data, live, durable]) closeSync(descriptor);
}

/** The layers in a head's folder that its record does not list: a kill came before listing, or before they were removed. */
export async function unlistedLayers(directory: string, listed: readonly string[]): Promise<LayerFiles[]> {
  const names = await readdir(directory).catch(() => []);
  const ids = new Set(names.map((name) => name.split('.')[0] ?? ''));
  return [...ids]
    .filter((id) => /^[0-9a-f]{32}$/.test(id) && !listed.includes(id))
    .map((id) => new LayerFiles(directory, id));
}
