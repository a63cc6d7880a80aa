/** How many connections an S3 store opens, told by a server that counts them. */
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { parseLocation, type S3Location } from '../../lib/store/location.js';
import { S3Store } from '../../lib/store/s3-store.js';
import { waitFor } from '../helpers/waiting.js';

let server: http.Server;
let connections: Socket[];
/** Requests that wait for their answer. */
let asked: http.ServerResponse[];
const stores: S3Store[] = [];

beforeEach(async () => {
  connections = [];
  asked = [];
  server = http.createServer((_, response) => void asked.push(response));
  server.on('connection', (socket) => void connections.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  await new Promise((resolve) => server.close(resolve));
});

function storeWith(spareConnections: number): S3Store {
  const { port } = server.address() as AddressInfo;
  const endpoint = {
    url: `http://127.0.0.1:${port}`,
    host: '127.0.0.1',
    port,
    secure: false,
    isAmazon: false,
    addressing: 'path' as const,
  };
  const credentials = { accessKey: 'key', secretKey: 'secret', sessionToken: undefined };
  const readCredentials = () => Promise.resolve(credentials);
  const settings = { endpoint, region: 'us-east-1', authorities: undefined, readCredentials };
  const store = new S3Store(parseLocation('s3://bucket') as S3Location, settings, { spareConnections });
  stores.push(store);
  return store;
}

/** So many gets at once, answered when all of them are there. */
async function getAtOnce(store: S3Store, count: number): Promise<void> {
  const got = Array.from({ length: count }, (_, index) => store.get(`key-${index}`));
  await waitFor('all are asked', () => asked.length === count, { intervalMs: 5 });
  for (const response of asked.splice(0)) response.end('bytes');
  await Promise.all(got);
}

test('the first request opens the spare connections, and the ones after it open none', async () => {
  const store = storeWith(3);
  await getAtOnce(store, 1);
  await waitFor('the spare ones are there', () => connections.length === 4, { intervalMs: 5 });
  await getAtOnce(store, 4);
  expect(connections).toHaveLength(4);
  await getAtOnce(store, 5);
  expect(connections).toHaveLength(5);
});

test('without spare ones there are as many connections as requests at the same time', async () => {
  const store = storeWith(0);
  await getAtOnce(store, 1);
  await getAtOnce(store, 2);
  expect(connections).toHaveLength(2);
});

test('spare connections that the server closes are replaced when they are needed, and fail nothing', async () => {
  const store = storeWith(3);
  await getAtOnce(store, 1);
  await waitFor('the spare ones are there', () => connections.length === 4, { intervalMs: 5 });
  const closed = Promise.all(connections.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
  for (const socket of connections) socket.end();
  await closed;
  await getAtOnce(store, 4);
  expect(connections).toHaveLength(8);
});
