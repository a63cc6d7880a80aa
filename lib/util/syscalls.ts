/**
 * The few Linux system calls that Node lacks. The only owner of koffi: nothing is compiled at installation.
 *
 * Model: thin and synchronous. A call either returns its value or throws a SystemCallError that looks like the errors of
 * node:fs (`code` is the errno name, `errno` is negative), so that callers treat both alike. Works from worker threads: each
 * thread that imports the module loads its own functions.
 *
 * Offsets and lengths are bytes, whole numbers up to 2^53 - 1; anything else is refused before the kernel sees it.
 *
 * What it does not do: policy. It knows nothing of FUSE, layers or mount points.
 */
import koffi from 'koffi';
import { constants, getPriority } from 'node:os';
import { getSystemErrorName } from 'node:util';

const libc = koffi.load(null);
const C = {
  mount: libc.func(
    'int mount(const char *source, const char *target, const char *type, ulong flags, const char *data)',
  ),
  umount2: libc.func('int umount2(const char *target, int flags)'),
  fallocate: libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)'),
  lseek: libc.func('int64_t lseek(int fd, int64_t offset, int whence)'),
  ioctl: libc.func('int ioctl(int fd, ulong request, void *argument)'),
  flock: libc.func('int flock(int fd, int operation)'),
  poll: libc.func('int poll(void *descriptors, ulong count, int timeoutMs)'),
  prctl: libc.func('int prctl(int option, ulong a, ulong b, ulong c, ulong d)'),
  // The C library of Debian 12 has no sched_setattr.
  syscall: libc.func('long syscall(long number, int thread, void *attributes, uint flags)'),
};

/** Number of sched_setattr(2), by process.arch; elsewhere it is not called. */
const SCHED_SETATTR = new Map<string, number>([
  ['x64', 314],
  ['arm64', 274],
]);
const SCHED_ATTRIBUTES_BYTES = 48;
/** The shortest that the kernel gives, 0.1 ms. */
const SHORT_SLICE_NS = 100_000n;

/** Flags of mount(2). */
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;

/** Flags of umount2(2). */
export const MNT_FORCE = 1;
export const MNT_DETACH = 2;

/** An option of prctl(2): memory that this process needs is never waited for on a disk that it serves itself. */
export const PR_SET_IO_FLUSHER = 57;

/** What fallocate(2) can be asked for. `allocate` and `zero-range` may grow the file, the others never do. */
export type FallocateMode = 'allocate' | 'allocate-keep-size' | 'punch-hole' | 'zero-range' | 'zero-range-keep-size';

const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const ZERO_RANGE = 16;
const FALLOCATE_FLAGS: Readonly<Record<FallocateMode, number>> = {
  allocate: 0,
  'allocate-keep-size': KEEP_SIZE,
  'punch-hole': PUNCH_HOLE | KEEP_SIZE,
  'zero-range': ZERO_RANGE,
  'zero-range-keep-size': ZERO_RANGE | KEEP_SIZE,
};

const LOCK_EX = 2;
const LOCK_NB = 4;

const POLLERR = 8;
const POLLNVAL = 32;

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** A system call that failed, in the shape of the errors of node:fs. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';

  constructor(
    readonly syscall: string,
    /** Name of the errno as node:fs spells it: `ENOENT`; 95 is `ENOTSUP`. */
    readonly code: string,
    /** The errno, negative as in node:fs. */
    readonly errno: number,
    subject: string,
  ) {
    super(`${code}: ${syscall} ${subject}`);
  }
}

/** Mounts a file system (mount(2)). `data` is the comma-separated list of options of the type. */
export function mount(source: string, target: string, type: string, flags: number, data: string): void {
  if (C.mount(source, target, type, flags, data) !== 0) failedCall('mount', `${source} on ${target}`);
}

/** Unmounts (umount2(2)) with any of MNT_FORCE and MNT_DETACH, or 0. */
export function umount2(target: string, flags: number): void {
  if (C.umount2(target, flags) !== 0) failedCall('umount2', target);
}

/** Changes what is allocated of an open file (fallocate(2)). ENOTSUP where the file system can't. */
export function fallocate(descriptor: number, mode: FallocateMode, offset: number, lengthBytes: number): void {
  checkOffset('offset', offset);
  checkOffset('length', lengthBytes);
  // A signal may end a long call early; nothing is lost by asking again, and callers expect it to be done.
  while (C.fallocate(descriptor, FALLOCATE_FLAGS[mode], offset, lengthBytes) !== 0) {
    if (koffi.errno() !== constants.errno.EINTR) failedCall('fallocate', `${mode} of descriptor ${String(descriptor)}`);
  }
}

/** The next offset >= `offset` that has data, or undefined when there is none before the end of the file. */
export function seekData(descriptor: number, offset: number): number | undefined {
  return seek(descriptor, offset, SEEK_DATA);
}

/**
 * Whether poll(2) says that nothing more can come of a descriptor: it is closed, or in error. Does not wait. One of /dev/fuse is in
 * error from the moment when its connection is no more.
 */
export function isPastUse(descriptor: number): boolean {
  const asked = Buffer.alloc(8); // struct pollfd: fd, events, revents
  asked.writeInt32LE(descriptor, 0);
  if (C.poll(asked, 1, 0) < 0) failedCall('poll', `descriptor ${String(descriptor)}`);
  return (asked.readInt16LE(6) & (POLLERR | POLLNVAL)) !== 0;
}

/**
 * The next offset >= `offset` that is a hole; the end of the file counts as one. An offset at the end of the file or beyond
 * it is answered by itself (the kernel would say ENXIO): from there on, nothing is stored.
 */
export function seekHole(descriptor: number, offset: number): number {
  return seek(descriptor, offset, SEEK_HOLE) ?? offset;
}

/** Asks a driver for something (ioctl(2)) that is described in, or answered into, `argument`; returns what it returned. */
export function ioctl(descriptor: number, request: number, argument: Buffer): number {
  const result = C.ioctl(descriptor, request, argument) as number;
  if (result < 0) failedCall('ioctl', `0x${request.toString(16)} of descriptor ${String(descriptor)}`);
  return result;
}

/**
 * Lets a thread of this process run soon after it is woken, without a larger share of the processor: its turns are short, so the
 * scheduler puts them before longer ones (Linux 6.12 and later; others change nothing). Throws when it has ended.
 */
export function shortenTurns(threadId: number): void {
  const call = SCHED_SETATTR.get(process.arch);
  if (call === undefined) return;
  // struct sched_attr: size, policy (0: the usual one), flags; nice; priority; then the slice.
  const attributes = Buffer.alloc(SCHED_ATTRIBUTES_BYTES);
  attributes.writeUInt32LE(SCHED_ATTRIBUTES_BYTES, 0);
  attributes.writeInt32LE(getPriority(threadId), 16);
  attributes.writeBigUInt64LE(SHORT_SLICE_NS, 24);
  if (C.syscall(call, threadId, attributes, 0) !== 0) failedCall('sched_setattr', `thread ${String(threadId)}`);
}

/** Asks the kernel to change something about this process or thread (prctl(2)); returns what the kernel returned. */
export function prctl(option: number, a = 0, b = 0, c = 0, d = 0): number {
  const result = C.prctl(option, a, b, c, d) as number;
  if (result < 0) failedCall('prctl', String(option));
  return result;
}

/**
 * Takes the lock of an open file or folder for this descriptor alone (flock(2)), until it is closed. False: another descriptor has
 * it.
 */
export function tryLock(descriptor: number): boolean {
  if (C.flock(descriptor, LOCK_EX | LOCK_NB) === 0) return true;
  if (koffi.errno() === constants.errno.EWOULDBLOCK) return false;
  return failedCall('flock', `descriptor ${String(descriptor)}`);
}

/** Note that this moves the descriptor's own position: use it only on descriptors that are read and written by position. */
function seek(descriptor: number, offset: number, whence: number): number | undefined {
  checkOffset('offset', offset);
  const found = C.lseek(descriptor, offset, whence) as number;
  if (found >= 0) return found;
  if (koffi.errno() === constants.errno.ENXIO) return undefined;
  return failedCall('lseek', `descriptor ${String(descriptor)}`);
}

function checkOffset(what: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${what} must be a whole number of bytes from 0 to 2^53 - 1, not ${String(value)}`);
  }
}

/** Throws the error of the call that has just failed in this thread. For those who call libc by koffi beside this module. */
export function failedCall(syscall: string, subject: string): never {
  const errno = koffi.errno();
  throw new SystemCallError(syscall, getSystemErrorName(-errno), -errno, subject);
}
