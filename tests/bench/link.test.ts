import { afterEach, describe, expect, test } from '@jest/globals';
import http from 'node:http';
import { createConnection, type AddressInfo } from 'node:net';
import { Bottleneck } from './bottleneck.js';
import { startLink, type Link, type LinkSettings } from './link.js';
import { requestKind } from './request-counter.js';

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** A server that answers each request with as many bytes as its path says, after it has read the whole body. */
async function linkToServer(settings: LinkSettings): Promise<{ link: Link; received: () => number }> {
  let received = 0;
  const server = http.createServer((request, response) => {
    request.on('data', (piece: Buffer) => (received += piece.length));
    request.on('end', () => response.end(Buffer.alloc(Number(request.url?.slice(1).split('?')[0]), 7)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(() => new Promise((resolve) => server.close(resolve)));
  const link = await startLink(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, settings);
  open.push(() => link.close());
  return { link, received: () => received };
}

async function request(
  link: Link,
  path: string,
  options: http.RequestOptions & { body?: Buffer } = {},
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const sent = http.request(`${link.url}${path}`, options, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () => {
        resolve(Buffer.concat(pieces));
      });
    });
    sent.on('error', reject);
    sent.end(options.body);
  });
}

describe('a bottleneck', () => {
  const settings = { delayMs: 10, bytesPerSecond: 1000, bufferBytes: 500 };

  test('lets bytes arrive after their time at its rate and the delay', () => {
    expect(new Bottleneck(settings).admit(0, 100)).toBe(110);
  });

  test('makes what comes later wait for what came first', () => {
    const bottleneck = new Bottleneck(settings);
    bottleneck.admit(0, 100);
    expect(bottleneck.admit(20, 100)).toBe(210);
  });

  test('forgets the past when it was idle', () => {
    const bottleneck = new Bottleneck(settings);
    bottleneck.admit(0, 100);
    expect(bottleneck.admit(1000, 100)).toBe(1110);
  });

  test('has room for its buffer less what has not passed', () => {
    const bottleneck = new Bottleneck(settings);
    expect(bottleneck.roomBytes(0)).toBe(500);
    bottleneck.admit(0, 600);
    expect(bottleneck.roomBytes(0)).toBe(-100);
    expect(bottleneck.backlogBytes(400)).toBe(200);
    expect(bottleneck.roomBytes(5000)).toBe(500);
  });
});

describe('what a client sends', () => {
  test.each([
    ['GET /bucket/key HTTP/1.1\r\n', 'gets'],
    ['GET /bucket?list-type=2&prefix=a HTTP/1.1\r\n', 'lists'],
    ['HEAD /x HTTP/1.1\r\n', 'heads'],
    ['PUT /x HTTP/1.1\r\n', 'puts'],
    ['POST /x?uploads HTTP/1.1\r\n', 'posts'],
    ['DELETE /x HTTP/1.1\r\n', 'deletes'],
    ['bytes of a body', undefined],
    ['', undefined],
  ])('%j begins %s', (text, kind) => {
    expect(requestKind(Buffer.from(text))).toBe(kind);
  });
});

describe('a link', () => {
  test('carries bytes both ways unchanged and counts them', async () => {
    const { link, received } = await linkToServer({ roundTripMs: 1, bytesPerSecond: 1e9 });
    const answer = await request(link, '/3000000', { method: 'PUT', body: Buffer.alloc(2_000_000, 1) });
    expect(answer.equals(Buffer.alloc(3_000_000, 7))).toBe(true);
    expect(received()).toBe(2_000_000);
    const { bytesDown, bytesUp, requests, connections } = link.counts();
    expect(bytesDown).toBeGreaterThanOrEqual(3_000_000);
    expect(bytesDown).toBeLessThan(3_001_000);
    expect(bytesUp).toBeGreaterThanOrEqual(2_000_000);
    expect(bytesUp).toBeLessThan(2_001_000);
    expect({ requests, connections }).toEqual({
      requests: { gets: 0, lists: 0, heads: 0, puts: 1, posts: 0, deletes: 0 },
      connections: 1,
    });
  });

  test('counts each request of a connection that is used again', async () => {
    const { link } = await linkToServer({ roundTripMs: 1 });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 5; i += 1) await request(link, '/10', { agent });
    await request(link, '/10?list-type=2', { agent });
    agent.destroy();
    expect(link.counts()).toMatchObject({ requests: { gets: 5, lists: 1 }, connections: 1 });
    link.reset();
    expect(link.counts()).toMatchObject({ requests: { gets: 0, lists: 0 }, connections: 0, bytesDown: 0, bytesUp: 0 });
  });

  test('is never faster than its round trips and its rate, for all connections together', async () => {
    const { link } = await linkToServer({ roundTripMs: 20, bytesPerSecond: 20e6 });
    const began = performance.now();
    await request(link, '/0', { agent: false });
    // The handshake and the request.
    expect(performance.now() - began).toBeGreaterThanOrEqual(40);
    const second = performance.now();
    await Promise.all([1, 2, 3, 4].map(() => request(link, '/1000000', { agent: false })));
    expect(performance.now() - second).toBeGreaterThanOrEqual(40 + 200);
  });

  test('lets a small answer pass while a large one is under way', async () => {
    const { link } = await linkToServer({ roundTripMs: 2, bytesPerSecond: 20e6 });
    let largeIsHere = false;
    const large = request(link, '/20000000').then(() => (largeIsHere = true));
    await request(link, '/100');
    expect(largeIsHere).toBe(false);
    await large;
  });

  test('breaks both sides when it is closed', async () => {
    const { link } = await linkToServer({ roundTripMs: 1 });
    const socket = createConnection(link.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined);
    await link.close();
    open.pop();
    await closed;
    expect(socket.destroyed).toBe(true);
  });
});
