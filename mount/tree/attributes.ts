/**
 * What stat shows of each kind of node: owners, modes, link counts, times, sizes.
 *
 * Everything belongs to the mounting user (or --uid, --gid), the mask applies to every mode, and a head shows what was
 * changed on it by chown, chmod and utimes. Status files are as readable as snapshots: they name hosts and tell what a guest
 * does, so they are for those who may read the images, not for everybody. Folders have one link: find(1) takes that as
 * "count of subfolders unknown", and saying it right would cost a listing per stat.
 */
import type { Attributes, FileKind } from '../fuse/file-system.js';

/** Settings of a tree that show in its attributes. */
export interface OwnerSettings {
  readonly uid: number;
  readonly gid: number;
  /** Bits that no mode shows. */
  readonly umask: number;
}

/** Modes before the mask. */
export const FOLDER_MODE = 0o751;
export const SNAPSHOT_MODE = 0o440;
export const HEAD_MODE = 0o660;
export const CONTROL_MODE = 0o600;
export const STATUS_MODE = 0o440;
const LINK_MODE = 0o777;

const PREFERRED_BLOCK_BYTES = 4096;

export interface Times {
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

/** All three times at one moment. */
export function timesAt(timeMs: number): Times {
  return { atimeMs: timeMs, mtimeMs: timeMs, ctimeMs: timeMs };
}

/** Builds attributes with the settings of one tree. */
export class AttributeBuilder {
  constructor(private readonly settings: OwnerSettings) {}

  folder(node: number, times: Times): Attributes {
    return this.build(node, 'directory', FOLDER_MODE, 0, 0, times);
  }

  link(node: number, target: string, times: Times): Attributes {
    // The mode of a link is never checked; 0777 is what every file system shows.
    return { ...this.build(node, 'symlink', LINK_MODE, target.length, 0, times), mode: LINK_MODE };
  }

  control(node: number, times: Times): Attributes {
    return this.build(node, 'file', CONTROL_MODE, 0, 0, times);
  }

  /** Size 0, as in /proc: the text is made when it is read, and read past the page cache. */
  status(node: number, times: Times): Attributes {
    return this.build(node, 'file', STATUS_MODE, 0, 0, times);
  }

  snapshot(node: number, sizeBytes: number, allocatedBytes: number, times: Times): Attributes {
    return this.build(node, 'file', SNAPSHOT_MODE, sizeBytes, allocatedBytes, times);
  }

  /** `owner` is what was changed on this head, shown as it was set; undefined shows the settings. */
  head(
    node: number,
    sizeBytes: number,
    allocatedBytes: number,
    times: Times,
    owner: { readonly uid: number; readonly gid: number; readonly mode: number } | null,
  ): Attributes {
    const attributes = this.build(node, 'file', HEAD_MODE, sizeBytes, allocatedBytes, times);
    return owner === null ? attributes : { ...attributes, uid: owner.uid, gid: owner.gid, mode: owner.mode };
  }

  private build(
    node: number,
    kind: FileKind,
    mode: number,
    sizeBytes: number,
    allocatedBytes: number,
    times: Times,
  ): Attributes {
    const { uid, gid, umask } = this.settings;
    return {
      node,
      kind,
      mode: mode & ~umask & 0o777,
      uid,
      gid,
      links: 1,
      sizeBytes,
      allocatedBytes,
      ...times,
      blockSizeBytes: PREFERRED_BLOCK_BYTES,
    };
  }
}
