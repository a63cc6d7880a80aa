/**
 * Descriptors that pass from one process to another: over a socket (SCM_RIGHTS), or taken from a child (pidfd_getfd(2)).
 * Thin and synchronous, with the errors of syscalls.ts. Every descriptor that is returned is the caller's to close, and is not
 * inherited by programs that are started.
 */
import koffi from 'koffi';
import { closeSync } from 'node:fs';
import { failedCall } from './syscalls.js';

const libc = koffi.load(null);
const vector = koffi.struct({ base: 'void *', length: 'size_t' });
const header = koffi.struct({
  name: 'void *',
  nameLength: 'uint32_t',
  vectors: koffi.pointer(vector),
  vectorCount: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
});
const C = {
  socketpair: libc.func('socketpair', 'int', ['int', 'int', 'int', koffi.out('int *')]),
  recvmsg: libc.func('recvmsg', 'int64_t', ['int', koffi.inout(koffi.pointer(header)), 'int']),
  syscall: libc.func('syscall', 'long', ['long', 'long', 'long', 'long']),
};

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** A cmsghdr (u64 length, i32 level, i32 type) with one descriptor, and room to see that there were more. */
const CONTROL_BYTES = 64;
const CONTROL_HEADER_BYTES = 16;
/** The same on x86-64 and arm64. */
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;

/** Two sockets, each the other's end. */
export function socketPair(): [number, number] {
  const pair: [number, number] = [-1, -1];
  if (C.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) !== 0) failedCall('socketpair', 'of unix sockets');
  return pair;
}

/** The descriptor that waits in a socket. Does not wait itself: EAGAIN when nothing came; undefined when it was none, or the end. */
export function receiveDescriptor(socket: number): number | undefined {
  const control = Buffer.alloc(CONTROL_BYTES);
  const message = {
    name: null,
    nameLength: 0,
    vectors: [{ base: Buffer.alloc(1), length: 1 }],
    vectorCount: 1,
    control,
    controlLength: CONTROL_BYTES,
    flags: 0,
  };
  const received = C.recvmsg(socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) as number;
  if (received < 0) failedCall('recvmsg', `of descriptor ${String(socket)}`);
  const isOne = Number(control.readBigUInt64LE(0)) === CONTROL_HEADER_BYTES + 4;
  const isDescriptor = control.readInt32LE(8) === SOL_SOCKET && control.readInt32LE(12) === SCM_RIGHTS;
  return isOne && isDescriptor ? control.readInt32LE(CONTROL_HEADER_BYTES) : undefined;
}

/** A copy of what `descriptor` is in another process, usually a child of the same user. EPERM where the host forbids it. */
export function copyDescriptor(pid: number, descriptor: number): number {
  const process = C.syscall(SYS_PIDFD_OPEN, pid, 0, 0) as number;
  if (process < 0) failedCall('pidfd_open', `of process ${String(pid)}`);
  try {
    const copy = C.syscall(SYS_PIDFD_GETFD, process, descriptor, 0) as number;
    if (copy < 0) failedCall('pidfd_getfd', `descriptor ${String(descriptor)} of process ${String(pid)}`);
    return copy;
  } finally {
    closeSync(process);
  }
}
