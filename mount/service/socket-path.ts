/**
 * Addresses of unix sockets hold 107 bytes of path; state directories may be deeper. A longer path is reached through an
 * open descriptor of its folder: /proc/self/fd/N/control.sock is short, and the kernel follows it for bind and connect.
 */
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

const ADDRESS_LIMIT_BYTES = 107;

/** Calls `use` with a path of the socket that fits an address; the path is good until `use` has settled. */
export async function withSocketPath<T>(path: string, use: (address: string) => Promise<T>): Promise<T> {
  if (Buffer.byteLength(path) <= ADDRESS_LIMIT_BYTES) return await use(path);
  const folder = await open(dirname(path), 'r');
  try {
    return await use(`/proc/self/fd/${String(folder.fd)}/${basename(path)}`);
  } finally {
    await folder.close();
  }
}
