/** Who may ask the dashboard: whoever knows the token, from its own page or from no page at all. */
import { describe, expect, test } from '@jest/globals';
import type { IncomingHttpHeaders } from 'node:http';
import { decideAccess } from '../../mount/dashboard/access.js';
import { newToken } from '../../mount/dashboard/address-file.js';

const TOKEN = newToken();
const HOST = '127.0.0.1:8090';

function statusOf(method: string, headers: IncomingHttpHeaders): number {
  const access = decideAccess(method, { host: HOST, ...headers }, TOKEN);
  return access.kind === 'granted' ? 200 : access.status;
}

const authorization = `Bearer ${TOKEN}`;
const json = { authorization, 'content-type': 'application/json' };

describe('the token', () => {
  test('opens the door, as a program or as the page asks', () => {
    expect(statusOf('GET', { authorization })).toBe(200);
    expect(statusOf('POST', { ...json, origin: `http://${HOST}`, 'sec-fetch-site': 'same-origin' })).toBe(200);
  });

  test.each([
    ['none', undefined],
    ['an empty one', 'Bearer '],
    ['another one', `Bearer ${newToken()}`],
    ['its beginning', `Bearer ${TOKEN.slice(0, -1)}`],
    ['one character more', `Bearer ${TOKEN}A`],
    ['another scheme', `Basic ${TOKEN}`],
    ['one of a megabyte', `Bearer ${'A'.repeat(1_000_000)}`],
  ])('%s does not', (_, given) => {
    expect(statusOf('GET', given === undefined ? {} : { authorization: given })).toBe(401);
  });

  test('has 256 bits and is another one each time', () => {
    expect(Buffer.from(TOKEN, 'base64url')).toHaveLength(32);
    expect(newToken()).not.toBe(TOKEN);
  });
});

describe('a page from elsewhere is refused, even with the token', () => {
  test.each([
    ['of another site', { origin: 'https://evil.example' }],
    ['of another port of this host', { origin: 'http://127.0.0.1:9999' }],
    ['without an origin of its own', { origin: 'null' }],
    ['that says so itself', { 'sec-fetch-site': 'cross-site' }],
    ['of another port, as browsers say it', { 'sec-fetch-site': 'same-site' }],
  ])('%s', (_, headers) => {
    expect(statusOf('POST', { ...json, ...headers })).toBe(403);
    expect(statusOf('GET', { authorization, ...headers })).toBe(403);
  });
});

test('what is no JSON, as a form of another page would be, is no action', () => {
  expect(statusOf('POST', { authorization })).toBe(415);
  expect(statusOf('POST', { authorization, 'content-type': 'text/plain' })).toBe(415);
  expect(statusOf('POST', { authorization, 'content-type': 'application/json; charset=utf-8' })).toBe(200);
});

test('other methods are refused', () => {
  expect(statusOf('DELETE', json)).toBe(405);
  expect(statusOf('OPTIONS', json)).toBe(405);
});
