/**
 * The contract between a driver (kernel protocol, fuse-native) and the file system that it shows (mount/tree).
 *
 * Node ids are permanent, never reused for another content, and durable before they are returned. Handles carry no state
 * but for control files. Every method rejects with FsError (an errno) or LazydiskError (mapped in errno.ts); anything else
 * becomes EIO and is logged. Data requests that workers serve never come here; those that do are prepared, then applied.
 */

/** Who asks. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Fires when the caller is being killed, or for a control file when it is interrupted: reject with EINTR, let the work go on. */
  readonly signal: AbortSignal;
}

export type FileKind = 'file' | 'directory' | 'symlink';

/** What stat shows. */
export interface Attributes {
  readonly node: number;
  readonly kind: FileKind;
  /** Permission bits only. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly sizeBytes: number;
  /** Allocated bytes; st_blocks is this in units of 512. */
  readonly allocatedBytes: number;
  /** Milliseconds since 1970. */
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly blockSizeBytes: number;
}

/** Attributes to change; absent ones stay. */
export interface AttributeChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: number;
  readonly atimeMs?: number;
  readonly mtimeMs?: number;
}

export interface OpenFlags {
  readonly write: boolean;
  readonly truncate: boolean;
}

/** What an open answers. */
export interface Opened {
  /**
   * Given back with every request on this open file, also to a later daemon. Images: how it was opened, below
   * FIRST_CONTROL_HANDLE; control and status files: a number of its own from there on.
   */
  readonly handle: number;
  /** Bypass the page cache (control and status files). */
  readonly directIo: boolean;
  /** The page cache of earlier opens is still right. */
  readonly keepCache: boolean;
  /** close(2) need not be told (images). */
  readonly noFlush: boolean;
  /**
   * An open descriptor of a local file that has these bytes at these offsets, for ever: a driver that can lets the kernel
   * read it without us. Open until the release.
   */
  readonly backing?: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly node: number;
  readonly kind: FileKind;
}

export interface FileSystemStatistics {
  readonly blockSizeBytes: number;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly files: number;
  readonly freeFiles: number;
  readonly nameMax: number;
}

export type Whence = 'data' | 'hole';
/** Modes of fallocate that are served; others are EOPNOTSUPP before they come here. */
export type AllocateMode = 'allocate' | 'allocate-keep-size' | 'punch-hole' | 'zero-range' | 'zero-range-keep-size';

/** Handles from here on are of control and status files. */
export const FIRST_CONTROL_HANDLE = 16;

/** The root of the tree. */
export const ROOT_NODE = 1;

export interface FileSystem {
  lookup(parent: number, name: string, caller: Caller): Promise<Attributes>;
  getAttributes(node: number, caller: Caller): Promise<Attributes>;
  setAttributes(node: number, changes: AttributeChanges, caller: Caller): Promise<Attributes>;
  readLink(node: number, caller: Caller): Promise<string>;
  makeDirectory(parent: number, name: string, mode: number, caller: Caller): Promise<Attributes>;
  /** Makes and opens a regular file. */
  create(
    parent: number,
    name: string,
    mode: number,
    flags: OpenFlags,
    caller: Caller,
  ): Promise<{ attributes: Attributes; opened: Opened }>;
  removeDirectory(parent: number, name: string, caller: Caller): Promise<void>;
  unlink(parent: number, name: string, caller: Caller): Promise<void>;
  rename(parent: number, name: string, newParent: number, newName: string, caller: Caller): Promise<void>;
  /** Links, symbolic links and special files: always refused, with the right errno. */
  makeOther(parent: number, name: string, caller: Caller): Promise<never>;

  open(node: number, flags: OpenFlags, caller: Caller): Promise<Opened>;
  /** Counts opens that a file system before this one has answered with `handle`; each will be released here. Never rejects. */
  adopt?(node: number, handle: number, opens: number): Promise<void>;
  /** Always full up to the end of the file. The buffer is handed over; a sub-range of a larger one is fine. */
  read(node: number, handle: number, offset: number, lengthBytes: number, caller: Caller): Promise<Uint8Array>;
  /** All bytes or an error. `bytes` belongs to the callee. */
  write(node: number, handle: number, offset: number, bytes: Uint8Array, caller: Caller): Promise<void>;
  /** One close(2) of a descriptor. */
  flush(node: number, handle: number, caller: Caller): Promise<void>;
  /** The last close of an open file. Never fails. */
  release(node: number, handle: number): Promise<void>;
  fsync(node: number, handle: number, caller: Caller): Promise<void>;
  allocate(node: number, mode: AllocateMode, offset: number, lengthBytes: number, caller: Caller): Promise<void>;
  /** ENXIO past the end. */
  seek(node: number, offset: number, whence: Whence, caller: Caller): Promise<number>;
  /** The whole listing without `.` and `..`; the driver keeps it for the life of the open directory and pages through it. */
  readDirectory(node: number, caller: Caller): Promise<readonly DirectoryEntry[]>;
  statistics(): Promise<FileSystemStatistics>;
}
