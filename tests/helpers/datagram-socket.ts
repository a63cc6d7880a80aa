/** A unix socket that receives datagrams, as a service manager has one; Node has none. */
import koffi from 'koffi';
import { closeSync } from 'node:fs';
import { undoLater } from './cleanup.js';

const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, const void *address, uint32_t length)');
const recv = libc.func('int64_t recv(int fd, _Out_ uint8_t *bytes, size_t length, int flags)');

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

export interface DatagramSocket {
  /** The next datagram; undefined: none has come. */
  receive(): string | undefined;
}

/** Bound to `path`; with `@` before it, in the kernel's own name space. Closed at the clean-up. */
export function datagramSocket(path: string): DatagramSocket {
  const descriptor = socket(AF_UNIX, SOCK_DGRAM, 0) as number;
  const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(path.replace(/^@/, '\0'))]);
  if (bind(descriptor, address, address.length) !== 0) throw new Error(`can't bind ${path}: ${String(koffi.errno())}`);
  undoLater(() => {
    closeSync(descriptor);
  });
  const bytes = Buffer.alloc(4096);
  return {
    receive: () => {
      const length = recv(descriptor, bytes, bytes.length, MSG_DONTWAIT) as number;
      return length < 0 ? undefined : bytes.toString('utf8', 0, length);
    },
  };
}
