/**
 * A slow link on loopback: a TCP proxy that adds a round-trip time and caps the bandwidth, and counts what passes.
 *
 * Each direction is one bottleneck that all connections share (bottleneck.ts). A new connection carries its first byte one
 * round trip after it was made, as TCP's handshake would have it. When the buffer before the bottleneck is full, connections
 * take turns of one piece (at most 64 KiB) each, so that a small answer does not wait for the whole of a large one. A
 * receiver that does not read holds up its own sender, not the others.
 *
 * What it does not do: loss, jitter, and TCP's slow start; a new connection is as fast as an old one after its handshake. So
 * it is kind to programs that open many connections.
 *
 * Its delays are exact to about a millisecond, always late, never early. It uses a tenth of a core at 100 MB/s; where that would
 * disturb what is measured, run it in a process of its own (link-process.ts).
 */
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { Bottleneck } from './bottleneck.js';
import { NO_REQUESTS, requestKind, type RequestCounts } from './request-counter.js';

export interface LinkSettings {
  /** 20 by default: a cloud's object store from another zone or a nearby region. */
  readonly roundTripMs?: number;
  /** Of each direction; 100,000,000 by default: what one gigabit carries of payload, nearly. */
  readonly bytesPerSecond?: number;
  /**
   * What the bottleneck queues before senders have to wait. By default a quarter of what is in flight on a full link, but at least
   * 128 KiB: the rule for routers is (round trip x rate) / sqrt(number of long flows), here for sixteen.
   */
  readonly bufferBytes?: number;
}

export interface LinkCounts {
  readonly requests: RequestCounts;
  /** TCP connections that were made. */
  readonly connections: number;
  /** Everything that came from the server, headers included. */
  readonly bytesDown: number;
  readonly bytesUp: number;
}

export interface Link {
  /** `http://127.0.0.1:port`: what to give as the endpoint. */
  readonly url: string;
  readonly port: number;
  /** Since the start or the last `reset`. */
  counts(): LinkCounts;
  reset(): void;
  /** Cuts all connections. */
  close(): Promise<void>;
}

/** What one connection may have under way to a receiver that does not read. */
const WINDOW_BYTES = 8 * 1024 * 1024;
/** Node reads a socket in pieces of at most this. */
const PIECE_BYTES = 64 * 1024;
const LEAST_BUFFER_BYTES = 128 * 1024;

/** Starts a link to `http://host:port`. */
export async function startLink(targetUrl: string, settings: LinkSettings = {}): Promise<Link> {
  const { roundTripMs = 20, bytesPerSecond = 100e6 } = settings;
  const bufferBytes = settings.bufferBytes ?? Math.max(LEAST_BUFFER_BYTES, (roundTripMs * bytesPerSecond) / 1000 / 4);
  const bottleneck = { delayMs: roundTripMs / 2, bytesPerSecond, bufferBytes };
  const up = new Direction(new Bottleneck(bottleneck));
  const down = new Direction(new Bottleneck(bottleneck));
  const target = new URL(targetUrl);
  const sockets = new Set<Socket>();
  let requests = { ...NO_REQUESTS };
  let connections = 0;

  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
    connections += 1;
    const upstream = createConnection({
      host: target.hostname,
      port: Number(target.port === '' ? 80 : target.port),
      allowHalfOpen: true,
      noDelay: true,
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      // Whatever breaks one side breaks the other; what was under way is lost, as on a real link.
      socket.on('error', () => other.destroy());
    }
    client.on('data', (piece: Buffer) => {
      const kind = requestKind(piece);
      if (kind !== undefined) requests[kind] += 1;
      up.send(client, upstream, piece);
    });
    client.on('end', () => {
      up.send(client, upstream, END);
    });
    upstream.on('data', (piece: Buffer) => {
      down.send(upstream, client, piece);
    });
    upstream.on('end', () => {
      down.send(upstream, client, END);
    });
    notBefore(performance.now() + roundTripMs, () => client.resume());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${String(port)}`,
    port,
    counts: () => ({ requests: { ...requests }, connections, bytesDown: down.bytes, bytesUp: up.bytes }),
    reset: () => {
      requests = { ...NO_REQUESTS };
      connections = 0;
      down.bytes = 0;
      up.bytes = 0;
    },
    close: async () => {
      for (const direction of [up, down]) direction.stop();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A timer that is never early. (Node's counts from when its loop last looked at the clock.) */
function notBefore(dueMs: number, act: () => void): void {
  const leftMs = dueMs - performance.now();
  if (leftMs <= 0) act();
  else setTimeout(notBefore, leftMs, dueMs, act);
}

/** The end of what one side sends, in its place among the pieces. */
const END = Buffer.alloc(0);

interface Travelling {
  readonly dueMs: number;
  readonly from: Socket;
  readonly to: Socket;
  readonly piece: Buffer;
}

/** Moves pieces through a bottleneck, in order, and holds senders up while its buffer is full. */
class Direction {
  /** Counted when they are taken in. */
  bytes = 0;
  readonly #bottleneck: Bottleneck;
  /** In order of arrival; those before `#first` have arrived. */
  #travelling: Travelling[] = [];
  #first = 0;
  /** Senders that wait for room, the longest first. */
  readonly #waiting = new Set<Socket>();
  #timer: NodeJS.Timeout | undefined;

  constructor(bottleneck: Bottleneck) {
    this.#bottleneck = bottleneck;
  }

  send(from: Socket, to: Socket, piece: Buffer): void {
    const now = performance.now();
    this.bytes += piece.length;
    this.#travelling.push({ dueMs: this.#bottleneck.admit(now, piece.length), from, to, piece });
    if (this.#bottleneck.roomBytes(now) <= 0) {
      from.pause();
      this.#waiting.add(from);
    }
    this.#schedule(now);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#travelling = [];
    this.#first = 0;
    this.#waiting.clear();
  }

  #schedule(now: number): void {
    const next = this.#travelling[this.#first];
    if (this.#timer !== undefined || (next === undefined && this.#waiting.size === 0)) return;
    // A full buffer is looked at each millisecond, so that it never runs empty while somebody waits.
    const waitMs = this.#waiting.size > 0 ? 1 : (next?.dueMs ?? now) - now;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#turn();
    }, waitMs);
  }

  #turn(): void {
    const now = performance.now();
    for (let next = this.#travelling[this.#first]; next !== undefined && next.dueMs <= now;) {
      this.#deliver(next);
      this.#first += 1;
      next = this.#travelling[this.#first];
    }
    if (this.#first > 1024 || this.#first === this.#travelling.length) {
      this.#travelling = this.#travelling.slice(this.#first);
      this.#first = 0;
    }
    // As many senders as there is room for a piece each; they come back to the end of the row when it is full again.
    let roomBytes = this.#bottleneck.roomBytes(now);
    for (const socket of this.#waiting) {
      if (roomBytes <= 0) break;
      roomBytes -= PIECE_BYTES;
      this.#waiting.delete(socket);
      socket.resume();
    }
    this.#schedule(now);
  }

  #deliver({ from, to, piece }: Travelling): void {
    if (to.destroyed) return;
    if (piece === END) {
      to.end();
      return;
    }
    to.write(piece);
    if (to.writableLength < WINDOW_BYTES || from.isPaused()) return;
    from.pause();
    to.once('drain', () => from.resume());
  }
}
