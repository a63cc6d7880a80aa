import { createHash } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parseLocation, type S3Location } from '../../lib/store/location.js';
import { retrying } from '../../lib/store/retrying.js';
import { s3Error } from '../../lib/store/s3-errors.js';
import type { S3Credentials } from '../../lib/store/s3-credentials.js';
import { S3Store } from '../../lib/store/s3-store.js';
import { resetConnection } from '../helpers/reset-connection.js';
import { s3ErrorAnswer, startScriptedServer, type Answer, type ScriptedServer } from '../helpers/scripted-server.js';

const SECRET = 'the-secret-that-nobody-may-see';
const RANGE = { offsetBytes: 10, lengthBytes: 20 };

let server: ScriptedServer;
let store: S3Store;
let credentials: S3Credentials | undefined;
let credentialsRead: number;

beforeEach(async () => {
  server = await startScriptedServer();
  credentials = { accessKey: 'ACCESSKEYID', secretKey: SECRET, sessionToken: undefined };
  credentialsRead = 0;
  store = newStore();
});
afterEach(async () => {
  await store.close();
  await server.close();
});

function newStore(idleTimeoutMs?: number): S3Store {
  const { hostname, port } = new URL(server.url);
  return new S3Store(
    parseLocation('s3://bucket/prefix') as S3Location,
    {
      endpoint: {
        url: server.url,
        host: hostname,
        port: Number(port),
        secure: false,
        isAmazon: false,
        addressing: 'path',
      },
      region: 'us-east-1',
      authorities: undefined,
      readCredentials: () => {
        credentialsRead += 1;
        return Promise.resolve(credentials);
      },
    },
    { idleTimeoutMs },
  );
}

const body =
  (status: number, headers: Record<string, string>, bytes: Buffer): Answer =>
  (_, response) =>
    void response.writeHead(status, headers).end(bytes);

describe('the S3 store maps what the server answers', () => {
  it.each([
    [500, 'InternalError', 'UNREACHABLE'],
    [502, 'BadGateway', 'UNREACHABLE'],
    [503, 'SlowDown', 'UNREACHABLE'],
    [503, 'ServiceUnavailable', 'UNREACHABLE'],
    [504, 'GatewayTimeout', 'UNREACHABLE'],
    [507, 'InsufficientStorage', 'UNREACHABLE'],
    [520, 'Unknown', 'UNREACHABLE'],
    [408, 'RequestTimeout', 'UNREACHABLE'],
    [400, 'RequestTimeout', 'UNREACHABLE'],
    [400, 'IncompleteBody', 'UNREACHABLE'],
    [409, 'OperationAborted', 'UNREACHABLE'],
    [409, 'ConditionalRequestConflict', 'UNREACHABLE'],
    [429, 'TooManyRequests', 'UNREACHABLE'],
    [499, 'ClientClosedRequest', 'UNREACHABLE'],
    [404, 'NoSuchKey', 'NOT_FOUND'],
    [404, 'NoSuchBucket', 'REFUSED'],
    [404, 'SomethingElse', 'REFUSED'],
    [403, 'AccessDenied', 'REFUSED'],
    [403, 'SignatureDoesNotMatch', 'REFUSED'],
    [403, 'InvalidAccessKeyId', 'REFUSED'],
    [400, 'ExpiredToken', 'REFUSED'],
    [400, 'InvalidToken', 'REFUSED'],
    [403, 'RequestTimeTooSkewed', 'REFUSED'],
    [403, 'WhateverElse', 'REFUSED'],
    [301, 'PermanentRedirect', 'REFUSED'],
    [400, 'AuthorizationHeaderMalformed', 'REFUSED'],
    [400, 'InvalidRequest', 'REFUSED'],
    [416, 'InvalidRange', 'DAMAGED'],
    [501, 'NotImplemented', 'UNSUPPORTED'],
  ])('%i %s is %s', async (status, s3Code, code) => {
    server.answer = s3ErrorAnswer(status, s3Code);
    const error = await failure(store.get('dir/key', { range: RANGE }));
    expect(error).toMatchObject({ code, facts: { location: 's3://bucket/prefix', key: 'dir/key' } });
    expect(error.message).toMatch(/^[^\n]+\.$/);
    expect(server.requests).toHaveLength(1);
  });

  it.each([
    [500, 'UNREACHABLE'],
    [403, 'REFUSED'],
    [404, 'REFUSED'],
    [400, 'REFUSED'],
  ])('%i with a page for people instead of XML is %s', async (status, code) => {
    server.answer = body(status, { 'content-type': 'text/html' }, Buffer.from('<html><body>Oops<br></html>'));
    expect(await failure(store.get('key'))).toMatchObject({ code });
    server.answer = body(status, {}, Buffer.alloc(0));
    expect(await failure(store.get('key'))).toMatchObject({ code });
  });

  it('412 to a put with ifAbsent is EXISTS', async () => {
    server.answer = s3ErrorAnswer(412, 'PreconditionFailed');
    expect(await failure(store.put('key', Buffer.from('x'), { ifAbsent: true }))).toMatchObject({ code: 'EXISTS' });
    expect(server.requests[0]?.headers['if-none-match']).toBe('*');
  });

  it('404 NoSuchKey to a delete is success', async () => {
    server.answer = s3ErrorAnswer(404, 'NoSuchKey');
    await expect(store.delete('key')).resolves.toBeUndefined();
  });

  it('409 to a race of creators is tried again by the retrying decorator', async () => {
    let answers = 0;
    server.answer = (request, response) => {
      answers += 1;
      if (answers === 1) s3ErrorAnswer(409, 'ConditionalRequestConflict')(request, response);
      else response.writeHead(200).end();
    };
    await retrying(store, { timeoutMs: 10_000, random: () => 0 }).put('key', Buffer.from('x'), { ifAbsent: true });
    expect(answers).toBe(2);
  });
});

describe('the S3 store and an upload that is not wanted', () => {
  it.each([
    ['at once', undefined],
    ['piece by piece', () => new Promise<void>((resolve) => setImmediate(resolve))],
  ])('reads the reason, also when it comes before the last byte is sent (%s)', async (_, pace) => {
    await server.close();
    const early = http.createServer((request, response) => {
      s3ErrorAnswer(403, 'AccessDenied')(request, response);
      request.resume();
    });
    await new Promise<void>((resolve) => early.listen(0, '127.0.0.1', resolve));
    server = { ...server, url: `http://127.0.0.1:${(early.address() as AddressInfo).port}` };
    await store.close();
    store = newStore();
    const put = failure(store.put('key', Buffer.alloc(8 * 1024 * 1024), { pace }));
    expect(await put).toMatchObject({ code: 'REFUSED', facts: { s3Code: 'AccessDenied' } });
    early.closeAllConnections();
    await new Promise((resolve) => early.close(resolve));
  });

  it('is UNREACHABLE, as every call, when the connection is reset', async () => {
    server.answer = (request) => resetConnection(request.socket);
    for (const call of [
      () => store.put('key', Buffer.alloc(100_000)),
      () => store.get('key'),
      () => store.get('key', { range: RANGE }),
      () => store.list(''),
      () => store.delete('key'),
    ]) {
      expect(await failure(call())).toMatchObject({ code: 'UNREACHABLE', cause: { code: 'ECONNRESET' } });
    }
  });

  it('takes no other success for the body of an object', async () => {
    for (const status of [201, 204, 206]) {
      server.answer = body(status, {}, Buffer.alloc(0));
      expect(await failure(store.get('key'))).toMatchObject({ code: 'UNREACHABLE' });
    }
  });
});

describe('the S3 store signs', () => {
  it('every request with the session token, and over plain HTTP the bytes of an upload', async () => {
    credentials = { accessKey: 'ACCESSKEYID', secretKey: SECRET, sessionToken: 'the-token' };
    const bytes = Buffer.alloc(100_000, 5);
    server.answer = (_, response) =>
      void response.writeHead(200).end('<ListBucketResult><Name>bucket</Name></ListBucketResult>');
    await store.put('key', bytes);
    await store.put('key', Buffer.from('small'));
    await store.get('key');
    await store.list('');
    await store.delete('key');
    expect(server.requests.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'GET', 'GET', 'DELETE']);
    for (const { headers } of server.requests) {
      expect(headers['x-amz-security-token']).toBe('the-token');
      expect(headers.authorization).toMatch(/SignedHeaders=[^,]*x-amz-security-token/);
    }
    expect(server.requests.map(({ headers }) => headers['x-amz-content-sha256']).slice(0, 2)).toEqual(
      [bytes, Buffer.from('small')].map((payload) => createHash('sha256').update(payload).digest('hex')),
    );
  });

  it('the range and the condition, so that nobody can take them away', async () => {
    server.answer = body(206, { 'content-range': 'bytes 10-29/100' }, Buffer.alloc(20));
    await store.get('key', { range: RANGE });
    server.answer = body(200, {}, Buffer.alloc(0));
    await store.put('key', Buffer.alloc(1), { ifAbsent: true });
    const [get, put] = server.requests.map(({ headers }) => headers.authorization);
    expect(get).toContain('SignedHeaders=host;range;');
    expect(put).toContain('SignedHeaders=content-type;host;if-none-match;');
  });
});

describe('the S3 store maps what goes wrong before the server answers', () => {
  const call = {
    location: 's3://bucket',
    bucket: 'bucket',
    endpointUrl: 'https://host',
    operation: 'get' as const,
    key: 'key',
    signal: undefined,
    status: undefined,
  };

  it.each([
    ['ECONNREFUSED', 'UNREACHABLE', 'https://host refuses connections'],
    ['ECONNRESET', 'UNREACHABLE', 'The connection to https://host failed'],
    ['EPIPE', 'UNREACHABLE', 'The connection to https://host failed'],
    ['ENOTFOUND', 'UNREACHABLE', "The host of https://host can't be resolved"],
    ['EAI_AGAIN', 'UNREACHABLE', "The host of https://host can't be resolved"],
    ['ETIMEDOUT', 'UNREACHABLE', 'did not answer GET key in time'],
    ['EHOSTUNREACH', 'UNREACHABLE', 'The connection to https://host failed'],
    ['EPROTO', 'UNREACHABLE', 'check http or https in the endpoint'],
    ['HPE_INVALID_CONSTANT', 'UNREACHABLE', 'The connection to https://host failed'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'REFUSED', 'is not trusted'],
    ['CERT_HAS_EXPIRED', 'REFUSED', 'is not trusted'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'REFUSED', 'is not trusted'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'REFUSED', 'is not trusted'],
  ])('%s is %s, and the endpoint is named', (errno, code, part) => {
    const cause = Object.assign(new Error('what node says'), { code: errno });
    const error = s3Error(cause, call);
    expect(error).toMatchObject({ code, cause, facts: { endpoint: 'https://host' } });
    expect(error.message).toContain(part);
  });
});

describe('the S3 store takes no body for success that is not exactly what was asked for', () => {
  const asked = { range: RANGE };
  const partial = { 'content-range': 'bytes 10-29/100' };

  it('returns a range that is right', async () => {
    server.answer = body(206, partial, Buffer.alloc(20, 1));
    expect(await store.get('key', asked)).toEqual(Buffer.alloc(20, 1));
  });

  it('a body that breaks off is UNREACHABLE', async () => {
    server.answer = (_, response) => {
      response.writeHead(206, { ...partial, 'content-length': '20' });
      response.write(Buffer.alloc(5), () => response.destroy());
    };
    expect(await failure(store.get('key', asked))).toMatchObject({ code: 'UNREACHABLE' });
  });

  it('a body of unknown length that is too short or too long is UNREACHABLE', async () => {
    for (const lengthBytes of [0, 19, 21, 5_000_000]) {
      server.answer = body(206, { ...partial, 'transfer-encoding': 'chunked' }, Buffer.alloc(lengthBytes));
      expect(await failure(store.get('key', asked))).toMatchObject({ code: 'UNREACHABLE' });
    }
  });

  it('a whole object that breaks off is UNREACHABLE, with and without a length', async () => {
    for (const headers of [{ 'content-length': '1000' }, { 'transfer-encoding': 'chunked' }]) {
      server.answer = (_, response) => {
        response.writeHead(200, headers);
        response.write(Buffer.alloc(5), () => response.destroy());
      };
      expect(await failure(store.get('key'))).toMatchObject({ code: 'UNREACHABLE' });
    }
  });

  it('a range that the object does not have in full is DAMAGED', async () => {
    server.answer = body(206, { 'content-range': 'bytes 10-14/15' }, Buffer.alloc(5));
    expect(await failure(store.get('key', asked))).toMatchObject({ code: 'DAMAGED', facts: { sizeBytes: 15 } });
  });

  it('a server that ignores ranges, or answers another one, is UNSUPPORTED', async () => {
    for (const answer of [
      body(200, {}, Buffer.alloc(100)),
      body(200, {}, Buffer.alloc(20)),
      body(206, {}, Buffer.alloc(20)),
      body(206, { 'content-range': 'bytes 0-19/100' }, Buffer.alloc(20)),
      body(206, { 'content-range': 'bytes 10-39/100' }, Buffer.alloc(30)),
    ]) {
      server.answer = answer;
      expect(await failure(store.get('key', asked))).toMatchObject({ code: 'UNSUPPORTED' });
    }
  });

  it('the whole object for the range of the whole object is right', async () => {
    server.answer = body(200, {}, Buffer.alloc(30, 9));
    expect(await store.get('key', { range: { offsetBytes: 0, lengthBytes: 30 } })).toEqual(Buffer.alloc(30, 9));
  });
});

describe('the S3 store tells of a body as it comes', () => {
  const head = { 'content-range': 'bytes 10-29/100', 'content-length': '20' };

  it('while the rest of it is still to come', async () => {
    let goOn: () => void = () => undefined;
    server.answer = (_, response) => {
      response.writeHead(206, head);
      response.write(Buffer.alloc(8, 1));
      goOn = () => void response.end(Buffer.alloc(12, 2));
    };
    const heard: number[] = [];
    const bytes = await store.get('key', {
      range: RANGE,
      onBytes: (whole, filledBytes) => {
        expect(whole.subarray(0, 8)).toEqual(Buffer.alloc(8, 1));
        heard.push(filledBytes);
        // Without being told of the first part, nobody would let the second one go.
        goOn();
      },
    });
    expect(heard).toEqual([8, 20]);
    expect(bytes).toEqual(Buffer.concat([Buffer.alloc(8, 1), Buffer.alloc(12, 2)]));
  });

  it('and, tried again after it broke off, from the start, in another buffer', async () => {
    let answers = 0;
    server.answer = (_, response) => {
      answers += 1;
      response.writeHead(206, head);
      if (answers === 1) response.write(Buffer.alloc(15, 7), () => response.destroy());
      else response.end(Buffer.alloc(20, 9));
    };
    const heard: { whole: Buffer; filledBytes: number }[] = [];
    const patient = retrying(store, { timeoutMs: 10_000, random: () => 0 });
    const bytes = await patient.get('key', {
      range: RANGE,
      onBytes: (whole, filledBytes) => heard.push({ whole, filledBytes }),
    });
    expect(heard.map(({ filledBytes }) => filledBytes)).toEqual([15, 20]);
    expect(heard[0]!.whole).not.toBe(bytes);
    expect(heard[1]!.whole).toBe(bytes);
    expect(bytes).toEqual(Buffer.alloc(20, 9));
  });

  it('never of more than was asked for, and not after an abort', async () => {
    server.answer = body(206, { 'content-range': 'bytes 10-29/100', 'transfer-encoding': 'chunked' }, Buffer.alloc(21));
    const heard: number[] = [];
    const listen = (_: Buffer, filledBytes: number): number => heard.push(filledBytes);
    expect(await failure(store.get('key', { range: RANGE, onBytes: listen }))).toMatchObject({ code: 'UNREACHABLE' });
    expect(heard.every((filledBytes) => filledBytes <= 20)).toBe(true);

    let rest: () => Promise<void> = () => Promise.resolve();
    server.answer = (_, response) => {
      response.writeHead(206, head);
      response.write(Buffer.alloc(8));
      rest = () => new Promise((resolve) => response.end(Buffer.alloc(12), () => resolve()));
    };
    const controller = new AbortController();
    const afterAbort: number[] = [];
    const get = store.get('key', {
      range: RANGE,
      signal: controller.signal,
      onBytes: (_whole, filledBytes) => {
        if (controller.signal.aborted) afterAbort.push(filledBytes);
        controller.abort();
      },
    });
    expect(await failure(get)).toMatchObject({ code: 'ABORTED' });
    await Promise.race([rest(), new Promise((resolve) => setImmediate(resolve))]);
    expect(afterAbort).toEqual([]);
  });
});

describe('the S3 store does not hang', () => {
  const silentServers: [string, Answer][] = [
    ['before its answer', () => undefined],
    ['in the middle of a body', (_, response) => void response.writeHead(200, { 'content-length': '10' }).write('x')],
  ];

  it.each(silentServers)('on a server that falls silent %s: UNREACHABLE', async (_, answer) => {
    await store.close();
    store = newStore(50);
    server.answer = answer;
    const error = await failure(store.get('key'));
    expect(error).toMatchObject({ code: 'UNREACHABLE' });
    expect(error.message).toContain('in time');
  });

  it.each(silentServers)('on an abort while the server is silent %s: ABORTED', async (_, answer) => {
    server.answer = answer;
    const controller = new AbortController();
    const arrived = server.nextRequest();
    const get = failure(store.get('key', { signal: controller.signal }));
    await arrived;
    controller.abort();
    expect(await get).toMatchObject({ code: 'ABORTED' });
  });

  it('on an abort of a put that is not answered: ABORTED', async () => {
    server.answer = () => undefined;
    const controller = new AbortController();
    const arrived = server.nextRequest();
    const put = failure(store.put('key', Buffer.alloc(100_000), { signal: controller.signal }));
    await arrived;
    controller.abort();
    expect(await put).toMatchObject({ code: 'ABORTED' });
  });
});

describe('the S3 store reads a listing with distrust', () => {
  const listing = (inner: string): Answer =>
    body(200, { 'content-type': 'application/xml' }, Buffer.from(`<ListBucketResult>${inner}</ListBucketResult>`));
  const contents = (key: string, size = '5', time = '2024-05-06T07:08:09.000Z'): string =>
    `<Contents><Key>${key}</Key><Size>${size}</Size><LastModified>${time}</LastModified></Contents>`;

  it('keeps keys under the prefix, and leaves out all others', async () => {
    server.answer = listing(
      [
        'prefix/a/1',
        'prefix/a/folder-marker/',
        'elsewhere/a/2',
        'prefix/b',
        'prefix/a/../x',
        'prefixa/3',
        'prefix/a/%2B+%25',
      ]
        .map((key) => contents(key))
        .join(''),
    );
    expect(await store.list('a/')).toEqual({
      objects: ['a/+ %', 'a/1'].map((key) => ({
        key,
        sizeBytes: 5,
        modifiedMs: Date.UTC(2024, 4, 6, 7, 8, 9),
      })),
      prefixes: [],
    });
  });

  it('goes on where the server says, and merges the pages', async () => {
    server.answer = (request, response) => {
      const { searchParams } = new URL(request.url!, server.url);
      const token = searchParams.get('continuation-token');
      const common = '<CommonPrefixes><Prefix>prefix/dir/</Prefix></CommonPrefixes>';
      const page =
        token === null
          ? `<IsTruncated>true</IsTruncated><NextContinuationToken>a+/=&amp;b</NextContinuationToken>${contents('prefix/b')}${common}`
          : `<IsTruncated>false</IsTruncated>${contents('prefix/a')}${common}`;
      expect(token ?? 'a+/=&b').toBe('a+/=&b');
      listing(page)(request, response);
    };
    let pieces = 0;
    const { objects, prefixes } = await store.list('', { delimiter: '/', onPiece: () => pieces++ });
    expect([objects.map(({ key }) => key), prefixes]).toEqual([['a', 'b'], ['dir/']]);
    expect(pieces).toBe(2);
    expect(server.requests).toHaveLength(2);
  });

  it('is UNREACHABLE when it breaks off, also on its second page', async () => {
    server.answer = (request, response) => {
      const second = request.url!.includes('continuation-token');
      if (second) resetConnection(request.socket);
      else {
        listing('<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>')(request, response);
      }
    };
    expect(await failure(store.list(''))).toMatchObject({ code: 'UNREACHABLE' });
    server.answer = body(200, {}, Buffer.from(`<ListBucketResult>${contents('prefix/a')}`));
    expect(await failure(store.list(''))).toMatchObject({ code: 'UNREACHABLE' });
  });

  it.each([
    ['a size that is none', contents('prefix/a', 'many')],
    ['a negative size', contents('prefix/a', '-5')],
    ['a time that is none', contents('prefix/a', '5', 'yesterday')],
    ['no way to go on', '<IsTruncated>true</IsTruncated>'],
    ['an entry without a name', '<Contents><Size>5</Size></Contents>'],
    ['a name that is not in percent form', contents('prefix/%E0%A4%A')],
  ])('with %s it is UNSUPPORTED', async (_, inner) => {
    server.answer = listing(inner);
    expect(await failure(store.list(''))).toMatchObject({ code: 'UNSUPPORTED' });
  });

  it('that does not move on it gives up', async () => {
    server.answer = listing('<IsTruncated>true</IsTruncated><NextContinuationToken>12</NextContinuationToken>');
    expect(await failure(store.list(''))).toMatchObject({ code: 'UNSUPPORTED' });
    expect(server.requests).toHaveLength(2);
  });

  it('that is no XML of S3 it takes for trouble, never for an empty bucket', async () => {
    for (const answer of [body(200, {}, Buffer.from('<html></html>')), body(200, {}, Buffer.alloc(0))]) {
      server.answer = answer;
      expect(await failure(store.list(''))).toMatchObject({ code: 'UNREACHABLE' });
    }
  });
});

describe('credentials', () => {
  it.each([
    [400, 'ExpiredToken'],
    [403, 'InvalidAccessKeyId'],
    [403, 'SignatureDoesNotMatch'],
  ])('that are no longer good after the store has worked (%i %s) are read again', async (status, s3Code) => {
    server.answer = (_, response) => void response.writeHead(200).end('x');
    await store.get('key');
    credentials = { accessKey: 'NEWKEY', secretKey: SECRET, sessionToken: 'new-token' };
    server.answer = (request, response) => {
      if (request.headers['x-amz-security-token'] === 'new-token') response.writeHead(200).end('y');
      else s3ErrorAnswer(status, s3Code)(request, response);
    };
    expect(await failure(store.get('key'))).toMatchObject({ code: 'UNREACHABLE' });
    expect((await store.get('key')).toString()).toBe('y');
    expect(credentialsRead).toBe(2);
  });

  it('a right to read that was there is waited for, one to write that is denied is REFUSED', async () => {
    server.answer = (_, response) => void response.writeHead(200).end('x');
    await store.get('key');
    server.answer = s3ErrorAnswer(403, 'AccessDenied');
    expect(await failure(store.put('key', Buffer.from('x')))).toMatchObject({ code: 'REFUSED' });
    expect(await failure(store.list(''))).toMatchObject({ code: 'REFUSED' });
    expect(await failure(store.get('key'))).toMatchObject({ code: 'UNREACHABLE', facts: { s3Code: 'AccessDenied' } });
    server.answer = (_, response) => void response.writeHead(200).end('y');
    expect((await store.get('key')).toString()).toBe('y');
    // one refusal after the other, and the credentials were looked at once
    expect(credentialsRead).toBe(2);
  });

  it('a write that was denied is tried again when there are other credentials now', async () => {
    server.answer = (request, response) => {
      if (request.headers['x-amz-security-token'] === 'new-token') response.writeHead(200).end();
      else s3ErrorAnswer(403, 'AccessDenied')(request, response);
    };
    expect(await failure(store.put('key', Buffer.from('x')))).toMatchObject({ code: 'REFUSED' });
    await store.close();
    store = newStore();
    await store.identify();
    credentials = { accessKey: 'NEWKEY', secretKey: SECRET, sessionToken: 'new-token' };
    expect(await failure(store.put('key', Buffer.from('x')))).toMatchObject({ code: 'UNREACHABLE' });
    await store.put('key', Buffer.from('x'));
  });

  it('that are none are not sent: the request is not signed', async () => {
    credentials = undefined;
    server.answer = (_, response) => void response.writeHead(200).end('x');
    await store.get('key');
    expect(server.requests.at(-1)?.headers).not.toHaveProperty('authorization');
    expect(Object.keys(server.requests.at(-1)?.headers ?? {}).filter((name) => name.startsWith('x-amz'))).toEqual([]);
  });

  it('that can be had only later are asked for again by the next call', async () => {
    const { hostname, port } = new URL(server.url);
    let tries = 0;
    const late = new S3Store(parseLocation('s3://bucket') as S3Location, {
      endpoint: {
        url: server.url,
        host: hostname,
        port: Number(port),
        secure: false,
        isAmazon: false,
        addressing: 'path',
      },
      region: 'us-east-1',
      authorities: undefined,
      readCredentials: () => {
        tries += 1;
        return tries === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve(credentials);
      },
    });
    server.answer = (_, response) => void response.writeHead(200).end('x');
    await expect(late.get('key')).rejects.toThrow();
    expect((await late.get('key')).toString()).toBe('x');
    await late.close();
  });

  it('are in no error, whatever the server repeats of them', async () => {
    server.answer = s3ErrorAnswer(
      403,
      'SignatureDoesNotMatch',
      'no</Message><AWSAccessKeyId>ACCESSKEYID</AWSAccessKeyId><StringToSign>AWS4</StringToSign><Message>',
    );
    const error = await failure(store.get('key'));
    const all = JSON.stringify([error.message, error.stack, error, String(error.cause)]);
    expect(all).not.toContain('ACCESSKEYID');
    expect(all).not.toContain(SECRET);
    expect(error.cause).toBeUndefined();
  });
});

async function failure(promise: Promise<unknown>): Promise<Error & { facts: Record<string, unknown> }> {
  try {
    await promise;
  } catch (error) {
    return error as Error & { facts: Record<string, unknown> };
  }
  throw new Error('the call succeeded, and a failure was expected');
}
