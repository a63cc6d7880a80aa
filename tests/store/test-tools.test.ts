/** The tools that other tests rely on: when they lie, those tests prove nothing. */
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { startCountingProxy } from '../helpers/counting-proxy.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { resetConnection } from '../helpers/reset-connection.js';
import { s3IsWanted, startS3 } from '../helpers/s3-server.js';
import { startScriptedServer } from '../helpers/scripted-server.js';
import { objectStoreSuite } from '../suites/object-store.suite.js';

objectStoreSuite('a faulty store without faults', async () => ({ store: new FaultyStore(new MemoryStore()) }));

describe('the faulty store', () => {
  let memory: MemoryStore;
  let faulty: FaultyStore;
  beforeEach(async () => {
    memory = new MemoryStore();
    await memory.put('key', Buffer.from([1, 2, 3]));
    faulty = new FaultyStore(memory);
  });

  it('fails before or after the effect', async () => {
    faulty.inject({ kind: 'fail-before' });
    faulty.inject({ kind: 'fail-after' });
    await expect(faulty.put('a', Buffer.from('x'))).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(faulty.put('b', Buffer.from('x'))).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await faulty.put('c', Buffer.from('x'));
    expect((await memory.list('')).objects.map(({ key }) => key)).toEqual(['b', 'c', 'key']);
  });

  it('spoils what is read, and not what is stored', async () => {
    faulty.inject({ kind: 'truncate', lengthBytes: 2 });
    faulty.inject({ kind: 'flip-bit', bit: 9 });
    expect([...(await faulty.get('key'))]).toEqual([1, 2]);
    expect([...(await faulty.get('key'))]).toEqual([1, 0, 3]);
    expect([...(await faulty.get('key'))]).toEqual([1, 2, 3]);
  });

  it('applies a fault only in its scope, after those that pass, and so many times', async () => {
    faulty.inject({ kind: 'fail-before' }, { operation: 'get', key: /^k/, skip: 1, times: 2 });
    await faulty.list('');
    await faulty.put('key', Buffer.from('x'));
    await expect(faulty.get('other')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await faulty.get('key');
    await expect(faulty.get('key')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(faulty.get('key')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await faulty.get('key');
  });

  it('stalls until it is released, and then goes on', async () => {
    faulty.inject({ kind: 'stall' }, { operation: 'put' });
    const put = faulty.put('a', Buffer.from('x'));
    await faulty.until(() => faulty.stalledCalls === 1);
    await expect(memory.get('a')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    faulty.releaseStalled();
    await put;
    expect((await memory.get('a')).toString()).toBe('x');
  });

  it('fails everything during an outage, and nothing after it', async () => {
    faulty.setOutage(true);
    await expect(faulty.get('key')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(faulty.list('')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    faulty.setOutage(false);
    await faulty.get('key');
  });

  it('counts requests and bytes', async () => {
    await faulty.get('key');
    await faulty.get('key', { range: { offsetBytes: 0, lengthBytes: 1 } });
    await faulty.put('a', Buffer.alloc(10));
    await faulty.delete('a');
    await faulty.list('');
    expect(faulty.counts).toEqual({
      get: { requests: 2, bytes: 4 },
      put: { requests: 1, bytes: 10 },
      list: { requests: 1, bytes: 0 },
      delete: { requests: 1, bytes: 0 },
    });
    expect(faulty.requests).toBe(5);
    faulty.resetCounts();
    expect(faulty.requests).toBe(0);
  });
});

describe('the counting proxy', () => {
  it('passes requests on as they came, counts them, and cuts them off in an outage', async () => {
    const target = await startScriptedServer();
    target.answer = (_, response) => void response.writeHead(206, { 'x-test': 'yes' }).end('12345');
    const proxy = await startCountingProxy(target.url);
    try {
      const response = await fetch(`${proxy.url}/bucket/a%20b`, { headers: { range: 'bytes=0-4' } });
      expect([response.status, response.headers.get('x-test'), await response.text()]).toEqual([206, 'yes', '12345']);
      await (await fetch(`${proxy.url}/bucket/a`, { method: 'PUT', body: 'abc' })).text();
      await (await fetch(`${proxy.url}/bucket?list-type=2&prefix=`)).text();
      expect(target.requests[0]?.headers.host).toBe(new URL(proxy.url).host);
      expect(proxy.counts()).toEqual({
        requests: 3,
        gets: 1,
        puts: 1,
        lists: 1,
        deletes: 0,
        bytesDown: 15,
        bytesUp: 3,
      });
      expect(proxy.requests()[0]).toMatchObject({ method: 'GET', path: '/bucket/a b', range: 'bytes=0-4' });
      proxy.reset();
      expect(proxy.counts().requests).toBe(0);
      proxy.setOutage(true);
      await expect(statusOverNewConnection(proxy.url)).rejects.toThrow();
      expect(target.requests).toHaveLength(3);
      proxy.setOutage(false);
      expect(await statusOverNewConnection(proxy.url)).toBe(206);
    } finally {
      await proxy.close();
      await target.close();
    }
  });

  it('breaks off below when the server breaks off above', async () => {
    const target = await startScriptedServer();
    target.answer = (_, response) => {
      response.writeHead(200, { 'transfer-encoding': 'chunked' });
      response.write('12345', () => response.destroy());
    };
    const proxy = await startCountingProxy(target.url);
    try {
      await expect(fetch(proxy.url).then((response) => response.text())).rejects.toThrow();
    } finally {
      await proxy.close();
      await target.close();
    }
  });
});

describe('a connection that is cut off', () => {
  // With the plain call of Node, the second one is never closed, and keeps this process from ending.
  it.each([
    ['is reset', 'open', 'ECONNRESET'],
    ['is closed when its end was on its way', 'ended', 'the end'],
  ])('%s', async (_, state, seen) => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
    const sight = text(client).then(
      () => 'the end',
      (error: NodeJS.ErrnoException) => error.code,
    );
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    const closed = once(socket, 'close');
    if (state === 'ended') socket.end();
    resetConnection(socket);
    await closed;
    expect(await sight).toBe(seen);
    await new Promise((resolve) => server.close(resolve));
  });
});

/** fetch keeps connections, and may take one that was cut off a moment ago. */
function statusOverNewConnection(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
      .on('error', reject);
  });
}

describe('without an S3 server', () => {
  const before = { ...process.env };
  beforeEach(() => {
    for (const name of Object.keys(process.env))
      if (name.startsWith('LAZYDISK_')) Reflect.deleteProperty(process.env, name);
    process.env.PATH = '/none';
  });
  afterEach(() => {
    Object.assign(process.env, before);
    if (before.LAZYDISK_REQUIRE_S3 === undefined) Reflect.deleteProperty(process.env, 'LAZYDISK_REQUIRE_S3');
  });

  it('its tests are left out', () => {
    expect(s3IsWanted()).toBe(false);
  });

  it('its tests run and fail when LAZYDISK_REQUIRE_S3 is 1', async () => {
    process.env.LAZYDISK_REQUIRE_S3 = '1';
    expect(s3IsWanted()).toBe(true);
    await expect(startS3()).rejects.toThrow('There is no S3 server for the tests');
  });
});
