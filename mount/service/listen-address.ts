/**
 * Where a page of the daemon is served: `ADDR:PORT`, as `--metrics` and `--dashboard` take it.
 *
 * The address is spelled out (127.0.0.1, [::1], 0.0.0.0) or `localhost`, which is 127.0.0.1. A name is not looked up and nothing is
 * added to a bare port: what is reachable from outside is to be seen on the command line. Port 0 lets the kernel choose.
 */
import { BlockList, isIP } from 'node:net';
import { LazydiskError } from '../../lib/util/errors.js';

/** An address of this host. */
export interface ListenAddress {
  /** IPv4 or IPv6, without brackets. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

const PATTERN = /^(?:\[(?<bracketed>[^[\]]+)\]|(?<plain>[^:[\]]+)):(?<port>\d{1,5})$/;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** USAGE names `option`. */
export function parseListenAddress(text: string, option: string): ListenAddress {
  const { bracketed, plain, port } = PATTERN.exec(text)?.groups ?? {};
  const host = bracketed ?? (plain === 'localhost' ? '127.0.0.1' : plain);
  const family = bracketed === undefined ? 4 : 6;
  if (host === undefined || isIP(host) !== family || Number(port) > 65_535) {
    throw new LazydiskError(
      'USAGE',
      `${option} takes an address of this host and a port, as 127.0.0.1:9100 or [::1]:9100, not ${JSON.stringify(text)}.`,
    );
  }
  return { host, port: Number(port) };
}

/** As `parseListenAddress` takes it. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${String(port)}`;
}

/** Whether only processes of this host can reach it. */
export function isLoopback({ host }: ListenAddress): boolean {
  return LOOPBACK.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Whether a request's Host header says what a browser on this host would say to a loopback address: an address, or `localhost`.
 * A page from elsewhere whose own name was made to lead to 127.0.0.1 (DNS rebinding) says that name.
 */
export function isLocalHostHeader(header: string | undefined): boolean {
  const host = /^(?:\[([^[\]]+)\]|([^:]+))(?::\d+)?$/.exec(header ?? '');
  const name = host?.[1] ?? host?.[2];
  return name !== undefined && (name.toLowerCase() === 'localhost' || isIP(name) !== 0);
}
