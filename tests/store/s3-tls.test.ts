/**
 * The S3 store over TLS, with a certificate of our own (tests/fixtures/tls: for localhost and 127.0.0.1, good for a hundred years).
 * Whom a process trusts is decided when it starts, so a process that trusts it is another one (it needs the built library).
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { openStore } from '../../lib/store/open-store.js';
import { parseLocation } from '../../lib/store/location.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const LIBRARY = new URL('../../dist/lib/index.js', import.meta.url).href;
const environment = {
  AWS_ACCESS_KEY_ID: 'id',
  AWS_SECRET_ACCESS_KEY: 'secret',
  AWS_CONFIG_FILE: '/none',
  AWS_SHARED_CREDENTIALS_FILE: '/none',
};

/** Reads an object of 300,000 bytes ten times, two at once, and tells how long and of how many kinds the answers were. */
const PROGRAM = `
  const { openStore, parseLocation } = await import(${JSON.stringify(LIBRARY)});
  const store = await openStore(parseLocation('s3://bucket/prefix'), { endpoint: process.argv[1] });
  const read = () => store.get('key', { range: { offsetBytes: 0, lengthBytes: 300_000 } });
  const all = [];
  for (let n = 0; n < 5; n += 1) all.push(...await Promise.all([read(), read()]));
  await store.put('key', all[0]);
  process.stdout.write(JSON.stringify([all.length, all.every((one) => one.equals(all[0])), all[0].length, all[0][299_999]]));
`;

let server: https.Server;
let connections = 0;
const put: number[] = [];

beforeAll(async () => {
  server = https.createServer(
    { key: readFileSync(fixture('key.pem')), cert: readFileSync(fixture('certificate.pem')) },
    (request, response) => {
      let sizeBytes = 0;
      request.on('data', (piece: Buffer) => (sizeBytes += piece.length));
      request.on('end', () => {
        if (request.method === 'PUT') {
          put.push(sizeBytes);
          response.end();
        } else {
          response.writeHead(206, { 'content-range': 'bytes 0-299999/300000', 'content-length': '300000' });
          response.end(Buffer.alloc(300_000, 7));
        }
      });
    },
  );
  server.on('secureConnection', () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const url = (host: string): string => `https://${host}:${String((server.address() as AddressInfo).port)}`;

it.each(['localhost', '127.0.0.1'])(
  'objects come and go over TLS, over as many connections as at once (%s)',
  async (host) => {
    connections = 0;
    const env = { ...environment, PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: fixture('certificate.pem') };
    const args = ['--input-type=module', '-e', PROGRAM, url(host)];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env });
    expect(JSON.parse(stdout)).toEqual([10, true, 300_000, 7]);
    expect(put.pop()).toBe(300_000);
    expect(connections).toBe(2);
  },
);

it('a certificate that nobody vouches for is REFUSED, and no request is sent', async () => {
  const store = await openStore(parseLocation('s3://bucket/prefix'), { endpoint: url('localhost'), environment });
  connections = 0;
  await expect(store.get('key')).rejects.toMatchObject({ code: 'REFUSED', facts: { endpoint: url('localhost') } });
  expect(connections).toBe(0);
  await store.close();
});

it('AWS_CA_BUNDLE says whom to trust', async () => {
  const trusting = { ...environment, AWS_CA_BUNDLE: fixture('certificate.pem') };
  const store = await openStore(parseLocation('s3://bucket/prefix'), {
    endpoint: url('localhost'),
    environment: trusting,
  });
  const bytes = await store.get('key', { range: { offsetBytes: 0, lengthBytes: 300_000 } });
  expect(bytes.equals(Buffer.alloc(300_000, 7))).toBe(true);
  await store.close();
});
