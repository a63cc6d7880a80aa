import { createHash } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { payloadHashOf } from '../../lib/store/s3-payload.js';
import { EMPTY_PAYLOAD_HASH } from '../../lib/store/s3-signature.js';

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

test('over TLS the bytes of an upload are not signed', async () => {
  expect(await payloadHashOf(Buffer.alloc(100), true)).toBe('UNSIGNED-PAYLOAD');
});

test('over plain HTTP they are, few or many, also those that threads share and those that are a part of others', async () => {
  for (const length of [0, 1, 32 * 1024, 32 * 1024 + 1, 1_000_000]) {
    const bytes = new Uint8Array(new SharedArrayBuffer(length)).fill(7);
    expect(await payloadHashOf(Buffer.alloc(length, 7), false)).toBe(hash(bytes));
    expect(await payloadHashOf(bytes, false)).toBe(hash(bytes));
    expect(await payloadHashOf(Buffer.alloc(length + 20, 7).subarray(10, length + 10), false)).toBe(hash(bytes));
  }
});

test('no body has the hash of no bytes, whatever the connection', async () => {
  expect(await payloadHashOf(undefined, true)).toBe(EMPTY_PAYLOAD_HASH);
  expect(await payloadHashOf(undefined, false)).toBe(hash(new Uint8Array(0)));
});
