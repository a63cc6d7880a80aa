/**
 * The package `fuse-native` as far as it is used here, and how it is loaded: only when this driver is chosen, because it is
 * an optional dependency that wants the system's libfuse 2.
 *
 * What one has to know of it (2.2.6): callbacks come on the main thread, each from a thread of libfuse that waits until it is
 * answered. The buffers of read and write are that thread's memory: they are valid until the answer, and detached with it.
 * Of a file's open answer only the number reaches the kernel, no flags. The second time of utimens is the first one again.
 */
import { LazydiskError, messageOf } from '../../../lib/util/errors.js';

/** 0, or an errno as a negative number. */
export type Result = number;

export interface NativeStat {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly ino: number;
  readonly blksize: number;
  readonly blocks: number;
  /** Milliseconds since 1970, whole. */
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

export interface NativeStatfs {
  readonly bsize: number;
  readonly frsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly favail: number;
  readonly namemax: number;
}

type Done = (result: Result) => void;
type DoneWith<T> = (result: Result, value?: T) => void;

/** The operations of libfuse 2 that are served. Paths begin with `/`; `file` is the number that an open answered. */
export interface NativeOperations {
  getattr(path: string, done: DoneWith<NativeStat>): void;
  readlink(path: string, done: DoneWith<string>): void;
  readdir(path: string, done: (result: Result, names?: string[], stats?: NativeStat[]) => void): void;
  statfs(path: string, done: DoneWith<NativeStatfs>): void;
  chmod(path: string, mode: number, done: Done): void;
  chown(path: string, uid: number, gid: number, done: Done): void;
  utimens(path: string, atimeMs: number, mtimeMs: number, done: Done): void;
  truncate(path: string, sizeBytes: number, done: Done): void;
  ftruncate(path: string, file: number, sizeBytes: number, done: Done): void;
  mkdir(path: string, mode: number, done: Done): void;
  rmdir(path: string, done: Done): void;
  unlink(path: string, done: Done): void;
  rename(from: string, to: string, done: Done): void;
  link(from: string, to: string, done: Done): void;
  symlink(target: string, path: string, done: Done): void;
  mknod(path: string, mode: number, device: number, done: Done): void;
  open(path: string, flags: number, done: DoneWith<number>): void;
  create(path: string, mode: number, done: DoneWith<number>): void;
  /** The result is the length, when it is not negative. */
  read(path: string, file: number, buffer: Buffer, lengthBytes: number, offset: number, done: Done): void;
  write(path: string, file: number, buffer: Buffer, lengthBytes: number, offset: number, done: Done): void;
  flush(path: string, file: number, done: Done): void;
  fsync(path: string, dataOnly: number, file: number, done: Done): void;
  release(path: string, file: number, done: Done): void;
}

/** A mount of the package. */
export interface NativeMount {
  /** Mounts; called back when the kernel's first request has been answered, or with the reason why not. */
  mount(done: (error: Error | null) => void): void;
  /** The argument of options for libfuse; a part of the package that its users may replace. */
  _fuseOptions(): string;
}

export type NativeModule = new (
  mountpoint: string,
  operations: NativeOperations,
  options: { readonly timeout: false },
) => NativeMount;

/** UNSUPPORTED, with what to install, when the package or its library is not there. */
export async function loadFuseNative(): Promise<NativeModule> {
  try {
    return ((await import('fuse-native')) as unknown as { default: NativeModule }).default;
  } catch (error) {
    throw new LazydiskError('UNSUPPORTED', whyNot(messageOf(error)), { cause: error });
  }
}

/** One sentence for each of the two things that can be missing. */
function whyNot(message: string): string {
  if (message.includes('libfuse.so.2')) {
    return 'The driver fuse-native needs libfuse 2, which is not installed (on Debian: apt install libfuse2); the default driver does not.';
  }
  return (
    `The package fuse-native can't be loaded (${message.split('\n', 1)[0]!}): ` +
    'install libfuse 2, then lazydisk anew with its optional dependencies, or use the default driver.'
  );
}
