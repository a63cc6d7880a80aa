/** A connection against servers that say, byte by byte, what a test wants them to say. */
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HttpConnection } from '../../lib/store/http-connection.js';
import type { BodyPlan } from '../../lib/store/incoming-body.js';

const HEAD = 'GET / HTTP/1.1\r\n\r\n';
const ALL: BodyPlan = { exactBytes: undefined, atMostBytes: 1000, otherwise: 'fail' };
const exactly = (exactBytes: number, onBytes?: BodyPlan['onBytes']): (() => BodyPlan) => {
  return () => ({ exactBytes, atMostBytes: exactBytes, otherwise: 'fail', onBytes });
};

let server: net.Server;
let accepted: Promise<Socket>;
let connection: HttpConnection;
let closedCount: number;

beforeEach(async () => {
  server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  accepted = once(server, 'connection').then(([socket]) => {
    (socket as Socket).on('error', () => undefined);
    return socket as Socket;
  });
  closedCount = 0;
  const { port } = server.address() as AddressInfo;
  connection = new HttpConnection(
    { hostname: '127.0.0.1', port, secure: false },
    10_000,
    { closed: () => closedCount++, session: () => undefined },
    undefined,
  );
});
afterEach(async () => {
  connection.end(new Error('the test is over'));
  (await accepted).destroy();
  server.close();
  await once(server, 'close');
});

/** The server's side, when the request is there. */
async function asked(): Promise<Socket> {
  const socket = await accepted;
  if (socket.readableLength === 0) await once(socket, 'readable');
  socket.read();
  return socket;
}

/** Sends byte by byte, each in a packet of its own. */
async function trickle(socket: Socket, text: string): Promise<void> {
  socket.setNoDelay(true);
  for (const byte of Buffer.from(text, 'latin1')) {
    socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a connection', () => {
  it.each([
    ['of a length that it says', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'],
    ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n'],
    [
      'after notes on the way',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    ],
  ])('reads an answer %s, at once and byte by byte, and then another one', async (_, text) => {
    for (const plan of [() => ALL, exactly(5)]) {
      for (const say of [(socket: Socket) => socket.write(text), (socket: Socket) => trickle(socket, text)]) {
        const answer = connection.send(HEAD, undefined, plan);
        await say(await asked());
        expect((await answer).body.toString()).toBe('hello');
        expect((await answer).head.status).toBe(200);
        expect(connection.isIdle).toBe(true);
      }
    }
    expect(closedCount).toBe(0);
  });

  it('reads an answer that ends with it, and is not used again', async () => {
    const answer = connection.send(HEAD, undefined, exactly(5));
    (await asked()).end('HTTP/1.1 200 OK\r\n\r\nhello');
    expect((await answer).body.toString()).toBe('hello');
    expect([connection.isIdle, closedCount]).toEqual([false, 1]);
  });

  it('tells of bytes in the memory that it returns, without copying what comes after the head', async () => {
    const heard: [Buffer, number][] = [];
    const answer = connection.send(
      HEAD,
      undefined,
      exactly(200_000, (whole, filledBytes) => heard.push([whole, filledBytes])),
    );
    const socket = await asked();
    const sent = Buffer.from(Array.from({ length: 200_000 }, (_, n) => n % 251));
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n');
    socket.write(sent);
    const { body } = await answer;
    expect(body.equals(sent)).toBe(true);
    expect(heard.every(([whole]) => whole === body)).toBe(true);
    const counts = heard.map(([, filledBytes]) => filledBytes);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(counts.at(-1)).toBe(200_000);
    // 16 KiB of scratch memory at a time would be at least twelve.
    expect(heard.length).toBeLessThan(12);
  });

  it.each([
    ['is longer than it says', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!'],
    ['says another length than is expected', 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!'],
    [
      'has more chunks than are expected',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n',
    ],
    [
      'has fewer chunks than are expected',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n0\r\n\r\n',
    ],
    ['has a head without end', `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(20_000)}`],
    ['is no HTTP', '\x15\x03\x01\x00\x02\r\n\r\n'],
  ])('fails a request whose answer %s, and is closed', async (_, text) => {
    const answer = connection.send(HEAD, undefined, exactly(5));
    (await asked()).write(text, 'latin1');
    await expect(answer).rejects.toThrow(/answer|body/);
    expect([connection.isIdle, closedCount]).toEqual([false, 1]);
  });

  it.each([
    ['before its answer', ''],
    ['in a head', 'HTTP/1.1 200'],
    ['in a body', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell'],
    ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['at the end, too early', 'HTTP/1.1 200 OK\r\n\r\nhell'],
  ])('that the server ends %s fails the request', async (_, text) => {
    const answer = connection.send(HEAD, undefined, exactly(5));
    const socket = await asked();
    socket.end(text);
    await expect(answer).rejects.toThrow();
    expect([connection.isIdle, closedCount]).toEqual([false, 1]);
  });

  it('is closed by an answer that nobody asked for', async () => {
    const answer = connection.send(HEAD, undefined, () => ALL);
    (await asked()).write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    await answer;
    (await accepted).write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    while (closedCount === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(connection.isIdle).toBe(false);
  });

  it('cuts a remark that is too long or breaks off, and takes what is there', async () => {
    const answer = connection.send(HEAD, undefined, () => ({
      exactBytes: undefined,
      atMostBytes: 3,
      otherwise: 'cut',
    }));
    (await asked()).write('HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nhello');
    expect((await answer).body.toString()).toBe('hel');
    expect([connection.isIdle, closedCount]).toEqual([false, 1]);
  });

  it('fails with what the caller says of the head', async () => {
    const answer = connection.send(HEAD, undefined, ({ status }) => {
      throw new RangeError(`not ${String(status)}`);
    });
    (await asked()).write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
    await expect(answer).rejects.toThrow('not 200');
    expect(closedCount).toBe(1);
  });

  it('that is ended by who hears of the bytes tells of no more', async () => {
    const heard: number[] = [];
    const answer = connection.send(
      HEAD,
      undefined,
      exactly(6, (_, filledBytes) => {
        heard.push(filledBytes);
        connection.end(new Error('enough'));
      }),
    );
    (await asked()).write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n');
    await expect(answer).rejects.toThrow('enough');
    expect(heard).toEqual([3]);
  });

  it('is not used again after an answer that came before its request was sent', async () => {
    let goOn: () => void = () => undefined;
    const answer = connection.send(
      HEAD,
      () => new Promise((resolve) => (goOn = resolve)),
      () => ALL,
    );
    (await asked()).write('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
    expect((await answer).head.status).toBe(403);
    expect([connection.isIdle, closedCount]).toEqual([false, 1]);
    goOn();
  });
});
