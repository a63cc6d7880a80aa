import { createServer, type AddressInfo } from 'node:net';

/** Ports that nobody listens on: all are held open until the last is known, so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const listener = createServer();
      await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
      return listener;
    }),
  );
  const ports = servers.map((listener) => (listener.address() as AddressInfo).port);
  await Promise.all(servers.map((listener) => new Promise((resolve) => listener.close(resolve))));
  return ports;
}
