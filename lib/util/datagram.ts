/** A datagram to a unix socket, which Node can't send. Thin and synchronous, with the errors of syscalls.ts. */
import koffi from 'koffi';
import { closeSync } from 'node:fs';
import { failedCall } from './syscalls.js';

const libc = koffi.load(null);
const C = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  sendto: libc.func(
    'int64_t sendto(int fd, const void *bytes, size_t length, int flags, const void *address, uint32_t addressLength)',
  ),
};

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;

/** Sends `text` to the socket at a path, or in the kernel's own name space when the path begins with `@`. ENOENT, ECONNREFUSED: nobody is there. */
export function sendDatagram(path: string, text: string): void {
  const socket = C.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) as number;
  if (socket < 0) failedCall('socket', 'for unix datagrams');
  try {
    const bytes = Buffer.from(text);
    const address = addressOf(path);
    if ((C.sendto(socket, bytes, bytes.length, MSG_NOSIGNAL, address, address.length) as number) < 0) {
      failedCall('sendto', path);
    }
  } finally {
    closeSync(socket);
  }
}

/** A sockaddr_un: the family, then the path. */
function addressOf(path: string): Buffer {
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path)]);
}
