/** Cutting a TCP connection off. */
import type { Socket } from 'node:net';

/**
 * Resets a connection: the other side sees ECONNRESET, or the end where this side has been ended before.
 *
 * A socket that has been ended (Node's HTTP server ends one whose client did) may have its shutdown(2) still ahead. Node 20 fails to
 * reset it then, takes it for closed all the same, and when the process ends it waits for it: busily, without a system call, for ever.
 */
export function resetConnection(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
