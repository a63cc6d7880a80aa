import { afterEach, describe, expect, test } from '@jest/globals';
import { get, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { silentLog } from '../../lib/util/log.js';
import {
  formatListenAddress,
  isLocalHostHeader,
  isLoopback,
  parseListenAddress,
} from '../../mount/service/listen-address.js';
import { HttpListener, type HttpHandler } from '../../mount/service/listening.js';

describe('an address to listen on', () => {
  test.each([
    ['127.0.0.1:9100', { host: '127.0.0.1', port: 9100 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['[::]:65535', { host: '::', port: 65_535 }],
  ])('%s is read and written again', (text, address) => {
    expect(parseListenAddress(text, '--metrics')).toEqual(address);
    expect(formatListenAddress(address)).toBe(text);
  });

  test('localhost is 127.0.0.1', () => {
    expect(parseListenAddress('localhost:1', '--metrics')).toEqual({ host: '127.0.0.1', port: 1 });
  });

  test.each([
    '',
    '9100',
    ':9100',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '::1:9100',
    '[127.0.0.1]:1',
  ])('%j is refused with the name of the option', (text) => {
    expect(() => parseListenAddress(text, '--metrics')).toThrow(
      `--metrics takes an address of this host and a port, as 127.0.0.1:9100 or [::1]:9100, not ${JSON.stringify(text)}.`,
    );
  });

  test('a name is not looked up', () => {
    expect(() => parseListenAddress('host.example:9100', '--dashboard')).toThrow('--dashboard takes an address');
  });

  test.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['0.0.0.0', false],
    ['::', false],
    ['192.0.2.1', false],
    ['::ffff:192.0.2.1', false],
  ])('%s is loopback: %s', (host, expected) => {
    expect(isLoopback({ host, port: 1 })).toBe(expected);
  });

  test.each([
    ['localhost', true],
    ['LOCALHOST:9100', true],
    ['127.0.0.1:9100', true],
    ['[::1]:9100', true],
    ['evil.example:9100', false],
    ['localhost.evil.example', false],
    ['', false],
    [undefined, false],
  ])('a Host header of %j is local: %s', (header, expected) => {
    expect(isLocalHostHeader(header)).toBe(expected);
  });
});

describe('a listener', () => {
  const open: HttpListener[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((listener) => listener.close()));
  });

  async function listen(handler: HttpHandler, text = '127.0.0.1:0', log = silentLog): Promise<HttpListener> {
    const address = parseListenAddress(text, '--metrics');
    const listener = await HttpListener.listen({ address, option: '--metrics', handler, log });
    open.push(listener);
    return listener;
  }

  const hello = (_: IncomingMessage, response: ServerResponse): void => void response.end('hello');

  test('answers at the port that the kernel chose', async () => {
    const listener = await listen(hello);
    expect(listener.address.port).toBeGreaterThan(0);
    expect(await ask(listener.url)).toEqual({ status: 200, body: 'hello' });
  });

  test('answers over IPv6', async () => {
    const listener = await listen(hello, '[::1]:0');
    expect(listener.url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect(await ask(listener.url)).toEqual({ status: 200, body: 'hello' });
  });

  test('a port that is taken is one sentence', async () => {
    const { address } = await listen(hello);
    const text = formatListenAddress(address);
    await expect(listen(hello, text)).rejects.toMatchObject({
      code: 'BUSY',
      message: `--metrics ${text} is taken by another process: choose another port.`,
    });
  });

  test('an address of another host is one sentence', async () => {
    await expect(listen(hello, '192.0.2.1:9100')).rejects.toMatchObject({
      code: 'USAGE',
      message: '--metrics 192.0.2.1:9100 is not an address of this host: see `ip address`.',
    });
  });

  test('on loopback, a request to a name from elsewhere does not reach the handler', async () => {
    let asked = 0;
    const listener = await listen((_, response) => {
      asked++;
      response.end();
    });
    expect((await ask(listener.url, { host: 'evil.example' })).status).toBe(403);
    expect((await ask(listener.url, { host: `localhost:${String(listener.address.port)}` })).status).toBe(200);
    expect(asked).toBe(1);
  });

  test('a handler that fails is answered with 500, and logged', async () => {
    const logged: unknown[] = [];
    const log = { ...silentLog, error: (message: string, facts?: object) => void logged.push([message, facts]) };
    const error = new Error('no');
    const listener = await listen(() => Promise.reject(error), undefined, log);
    expect(await ask(listener.url)).toEqual({ status: 500, body: '' });
    expect(logged).toEqual([
      ['A request over HTTP could not be answered.', { option: '--metrics', method: 'GET', error }],
    ]);
  });

  test('closing cuts an event stream and an idle connection, and frees the port', async () => {
    const listener = await listen((_, response) => {
      response.write('data: 1\n\n');
    });
    const stream = new Promise((resolve) => {
      get(listener.url, (response) => {
        response.on('error', resolve);
        response.once('data', () => void listener.close());
      });
    });
    const idle = connect(listener.address.port, '127.0.0.1');
    const left = new Promise((resolve) => idle.on('close', resolve).on('error', resolve));
    expect(await stream).toMatchObject({ code: 'ECONNRESET' });
    await left;
    await listener.close();
    const again = await listen(hello, formatListenAddress(listener.address));
    expect((await ask(again.url)).body).toBe('hello');
  });
});

function ask(url: string, headers: Record<string, string> = {}): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    get(url, { headers, agent: false }, (response) => {
      let body = '';
      response.on('data', (part: Buffer) => (body += part.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode, body });
      });
    }).on('error', reject);
  });
}
