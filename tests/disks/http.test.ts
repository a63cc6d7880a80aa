import { expect, test } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSocketServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { openHttp, type HttpOptions } from '../../lib/disks/http-input.js';
import { exportImage } from '../../lib/repository/export.js';
import { importImage } from '../../lib/repository/import.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { must } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { createWorld } from '../repository/worlds.js';

const CONTENT = randomBytes(1_000_000);
const ETAG = '"version-1"';

cleanUpAfter('each');

/** What a server is like; it counts and remembers what it is asked. */
interface Site {
  /** `no`: always the whole file; `yes`: from where it is asked. */
  readonly ranges: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** How the answer to the nth request (from 0) goes wrong; undefined: it does not. */
  readonly trouble?: (request: number) => 'break' | 'stall' | 'other-version' | 'short-range' | number | undefined;
}

interface Served {
  readonly url: string;
  readonly requests: IncomingMessage['headers'][];
}

async function serve({ ranges, headers, trouble = () => undefined }: Site, content = CONTENT): Promise<Served> {
  const requests: IncomingMessage['headers'][] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const ill = trouble(requests.length);
    requests.push(request.headers);
    if (typeof ill === 'number') {
      response.writeHead(ill).end('a page about it');
      return;
    }
    const validators = { ...headers, ...(ill === 'other-version' ? { etag: '"version-2"' } : {}) };
    const asked = ranges ? /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] : undefined;
    const from = Number(asked ?? 0) + (ill === 'short-range' ? 1 : 0);
    response.writeHead(asked === undefined ? 200 : 206, {
      ...validators,
      'content-length': content.length - from,
      ...(asked === undefined ? {} : { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
    });
    if (ill === undefined || ill === 'other-version') {
      response.end(content.subarray(from));
      return;
    }
    const part = content.subarray(from, from + 300_000);
    response.write(part, () => {
      if (ill === 'break') setTimeout(() => response.destroy(), 20);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undoLater(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/disk.raw`, requests };
}

const TIMING = { silenceMs: 1000, firstPauseMs: 5, mostFailures: 4 };

async function bytesOf(url: string, options: Partial<HttpOptions> = {}): Promise<Buffer> {
  const { input } = await openHttp(url, { isChecked: false, timing: TIMING, ...options });
  const pieces: Buffer[] = [];
  try {
    for await (const piece of input) pieces.push(piece);
  } finally {
    await input.close();
  }
  return Buffer.concat(pieces);
}

// S92
test('a transfer that breaks twice and stalls once goes on where it was, of the same version', async () => {
  const site = await serve({
    ranges: true,
    headers: { etag: ETAG },
    trouble: (request) => (['break', 'stall', 'break'] as const)[request],
  });
  expect((await bytesOf(site.url)).equals(CONTENT)).toBe(true);
  expect(site.requests).toHaveLength(4);
  expect(site.requests[0]).not.toHaveProperty('range');
  expect(site.requests[0]?.['accept-encoding']).toBe('identity');
  for (const headers of site.requests.slice(1)) {
    expect(headers.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(headers['if-range']).toBe(ETAG);
  }
});

// S92
test.each([
  ['an ETag', { etag: ETAG }],
  ['Last-Modified', { 'last-modified': 'Sat, 01 Nov 2025 10:00:00 GMT' }],
  ['a weak ETag', { etag: 'W/"1"' }],
] as readonly (readonly [string, Record<string, string>])[])(
  'a server without ranges, but with %s, sends all again, and only the rest is taken',
  async (_, headers) => {
    const site = await serve({ ranges: false, headers, trouble: (request) => (request < 2 ? 'break' : undefined) });
    expect((await bytesOf(site.url)).equals(CONTENT)).toBe(true);
    expect(site.requests).toHaveLength(3);
  },
);

// S92
test.each(['other-version', 'short-range'] as const)(
  'a rest that is not of the same file (%s) is a conflict',
  async (ill) => {
    const site = await serve({
      ranges: true,
      headers: { etag: ETAG },
      trouble: (request) => (request === 0 ? 'break' : ill),
    });
    await expect(bytesOf(site.url)).rejects.toMatchObject({ code: 'CONFLICT' });
  },
);

// S92
test('where the server names no version, a broken transfer goes on only under a checksum', async () => {
  const site = {
    ranges: true,
    headers: {},
    trouble: (request: number) => (request === 0 ? 'break' : undefined),
  } as const;
  await expect(bytesOf((await serve(site)).url)).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('--sha256'),
  });
  expect((await bytesOf((await serve(site)).url, { isChecked: true })).equals(CONTENT)).toBe(true);
});

/** Answers as the texts say, one a connection, and closes. */
async function serveTexts(...answers: readonly string[]): Promise<string> {
  let connections = 0;
  const server = createSocketServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(answers[connections++] ?? answers.at(-1)!));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undoLater(() => void server.close());
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/disk.raw`;
}

// S92
test.each([
  ['that does not say its length', '\r\nhalf of it'],
  ['in chunks, after which the connection is to be closed,', 'Transfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n'],
])('of an answer %s a part is not taken for the whole, but under a checksum', async (_, rest) => {
  const url = await serveTexts(`HTTP/1.1 200 OK\r\nETag: "1"\r\nConnection: close\r\n${rest}`);
  await expect(bytesOf(url)).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('does not say how long the file is'),
  });
  expect((await bytesOf(url, { isChecked: true })).toString()).toBe('half of it');
});

// S92
test('a rest that comes in parts is asked for until all of it is there, though only they say how long the file is', async () => {
  const part = (from: number, text: string): string =>
    `HTTP/1.1 206 Partial Content\r\nETag: "1"\r\nContent-Length: ${text.length}\r\n` +
    `Content-Range: bytes ${from}-${from + text.length - 1}/9\r\nConnection: close\r\n\r\n${text}`;
  const broken = 'HTTP/1.1 200 OK\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n';
  expect((await bytesOf(await serveTexts(broken, part(3, 'def'), part(6, 'ghi')))).toString()).toBe('abcdefghi');
});

test('a server that is ill for a while is asked again, one that stays ill is given up', async () => {
  const recovers = await serve({
    ranges: true,
    headers: { etag: ETAG },
    trouble: (request) => (request < 2 ? 503 : undefined),
  });
  expect((await bytesOf(recovers.url)).equals(CONTENT)).toBe(true);
  const stays = await serve({ ranges: true, headers: {}, trouble: () => 502 });
  await expect(bytesOf(stays.url)).rejects.toMatchObject({
    code: 'UNREACHABLE',
    message: expect.stringContaining('502'),
  });
  expect(stays.requests).toHaveLength(TIMING.mostFailures);
});

test.each([
  [404, 'NOT_FOUND'],
  [401, 'REFUSED'],
  [403, 'REFUSED'],
])('an answer of %d is told at once', async (status, code) => {
  const site = await serve({ ranges: true, headers: {}, trouble: () => status });
  await expect(bytesOf(site.url)).rejects.toMatchObject({ code, message: expect.stringContaining(String(status)) });
  expect(site.requests).toHaveLength(1);
});

test('a host that no name server knows is told at once', async () => {
  // Longer than a name can be, so that no name server is needed to know it.
  const host = `${'a'.repeat(64)}.invalid`;
  const timing = { ...TIMING, firstPauseMs: 3_600_000 };
  await expect(bytesOf(`http://${host}/disk.raw`, { timing })).rejects.toMatchObject({
    code: 'UNREACHABLE',
    message: `No name server knows the host ${host}: check the URL.`,
  });
});

test('an answer without a byte is no disk', async () => {
  const world = await createWorld();
  const { url } = await serve({ ranges: true, headers: { etag: ETAG } }, Buffer.alloc(0));
  await expect(importImage(world.repository, { source: { kind: 'url', url }, image: 'vm' })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('Nothing came from http://127.0.0.1'),
  });
  await importImage(world.repository, { source: { kind: 'url', url }, image: 'vm', format: 'raw' });
});

test('a name and a password go into a header, and neither they nor a signature into a message', async () => {
  const site = await serve({ ranges: true, headers: {}, trouble: () => 403 });
  const url = `${site.url.replace('http://', 'http://somebody:s%40fe@')}?signature=secret`;
  const error = await bytesOf(url).catch((caught: unknown) => caught as Error);
  expect(site.requests[0]?.authorization).toBe(`Basic ${Buffer.from('somebody:s@fe').toString('base64')}`);
  expect((error as Error).message).toContain(site.url);
  expect((error as Error).message).not.toMatch(/somebody|fe|secret/);
});

test('what a server packs on the way, though it was asked not to, is refused', async () => {
  const site = await serve({ ranges: true, headers: { 'content-encoding': 'gzip' } });
  await expect(bytesOf(site.url)).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('gzip'),
  });
});

test('a transfer that is given up ends its connection and its pauses', async () => {
  const site = await serve({ ranges: true, headers: { etag: ETAG }, trouble: () => 'stall' });
  const giving = new AbortController();
  const reading = bytesOf(site.url, { signal: giving.signal, timing: { ...TIMING, silenceMs: 60_000 } });
  setTimeout(() => {
    giving.abort();
  }, 100);
  await expect(reading).rejects.toMatchObject({ code: 'ABORTED' });
});

// S90, S92
test('a packed qcow2 behind a connection that breaks becomes an image, under its checksum', async () => {
  const folder = temporaryFolder('http');
  const raw = join(folder, 'disk.raw');
  writeFileSync(raw, Buffer.concat([CONTENT, Buffer.alloc(4 * 1024 * 1024 - CONTENT.length)]));
  await must('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, join(folder, 'disk.qcow2')]);
  await must('xz', ['-0', join(folder, 'disk.qcow2')]);
  const packed = readFileSync(join(folder, 'disk.qcow2.xz'));
  const hex = createHash('sha256').update(packed).digest('hex');
  const site = await serve(
    { ranges: true, headers: { etag: ETAG }, trouble: (request) => (request === 0 ? 'break' : undefined) },
    packed,
  );
  const world = await createWorld();
  const source = { kind: 'url', url: site.url } as const;
  const seen: unknown[] = [];
  const made = await importImage(world.repository, {
    source,
    image: 'vm',
    checksum: { algorithm: 'sha256', hex },
    onProgress: ({ intake }) => seen.push(intake),
  });
  expect(made).toMatchObject({ number: 1, sizeBytes: 4 * 1024 * 1024 });
  expect(seen).toContainEqual({ doneBytes: packed.length, totalBytes: packed.length });
  expect(site.requests).toHaveLength(2);
  const path = join(folder, 'out.raw');
  await exportImage(world.repository, { image: 'vm', target: { kind: 'file', path } });
  expect(readFileSync(path).equals(readFileSync(raw))).toBe(true);

  const checksum = { algorithm: 'sha256', hex: '0'.repeat(64) } as const;
  await expect(importImage(world.repository, { source, image: 'vm', checksum })).rejects.toMatchObject({
    code: 'DAMAGED',
    facts: { found: hex },
  });
  expect((await world.repository.listImage('vm')).snapshots).toHaveLength(1);
  expect(readdirSync(folder).sort()).toEqual(['disk.qcow2.xz', 'disk.raw', 'out.raw']);
});
