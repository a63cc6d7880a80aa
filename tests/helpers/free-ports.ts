import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';

/**
 * Ports that nobody listens on: all are held open until the last is known, so that they differ. They lie below those that the
 * kernel gives to connections: one of them could be gone again before the program that is told of it listens.
 */
export async function freePorts(count: number): Promise<number[]> {
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const end = Number.parseInt(range, 10);
  const held = new Map<number, Server>();
  while (held.size < count) {
    const port = randomInt(Math.min(10_000, end - 1), end);
    const server = await listenOn(port);
    if (server !== undefined) held.set(port, server);
  }
  await Promise.all([...held.values()].map((server) => new Promise((resolve) => server.close(resolve))));
  return [...held.keys()];
}

/** Undefined: somebody has it. */
function listenOn(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(undefined);
    });
    server.listen(port, '127.0.0.1', () => {
      resolve(server);
    });
  });
}
