import { describe, expect, test } from '@jest/globals';
import { decodePayload, encodePayload, isStoredSize } from '../../lib/format/codec.js';
import { hasCode } from '../../lib/util/errors.js';
import { compress } from '../../lib/util/zstd/zstd.js';
import { pseudoRandom, words } from '../util/zstd/payloads.js';

const CHUNK = 256 * 1024;

async function damage(decoding: Promise<Buffer>): Promise<unknown> {
  const error: unknown = await decoding.catch((error: unknown) => error);
  return hasCode(error, 'DAMAGED') ? error.facts['what'] : error;
}

describe('a payload', () => {
  test('comes back from what is stored', async () => {
    for (const payload of [words(CHUNK), words(200), pseudoRandom(CHUNK), Buffer.alloc(CHUNK)]) {
      for (const wanted of ['none', 'zstd'] as const) {
        const { codec, stored } = await encodePayload(wanted, payload);
        expect(isStoredSize(codec, stored.length, payload.length)).toBe(true);
        expect(payload.equals(await decodePayload(codec, stored, payload.length))).toBe(true);
        expect(payload.equals(await decodePayload(codec, stored, { atMost: CHUNK }))).toBe(true);
      }
    }
  });

  test('that shrinks is stored smaller', async () => {
    const { codec, stored } = await encodePayload('zstd', words(CHUNK));
    expect(codec).toBe('zstd');
    expect(stored.length).toBeLessThan(CHUNK / 3);
  });

  test('stays as it is unless it shrinks to less than seven eighths', async () => {
    const noise = (share: number) => Buffer.concat([pseudoRandom(CHUNK * share), Buffer.alloc(CHUNK * (1 - share))]);
    expect(await encodePayload('zstd', noise(7 / 8))).toEqual({ codec: 'none', stored: noise(7 / 8) });
    expect(await encodePayload('zstd', noise(13 / 16))).toMatchObject({ codec: 'zstd' });
  });

  test('that is stored as it is has exactly its own length', async () => {
    const payload = words(CHUNK);
    expect(await damage(decodePayload('none', payload, CHUNK - 1))).toMatch(/262144 where 262143 were expected/);
    expect(await damage(decodePayload('none', payload, { atMost: CHUNK - 1 }))).toMatch(/at most 262143/);
  });

  test('is damaged when its frame says another length than the expected one, before anything is decoded', async () => {
    const bomb = await compress(Buffer.alloc(64 * 1024 * 1024), 3);
    expect(bomb.length).toBeLessThan(10_000);
    expect(await damage(decodePayload('zstd', bomb, CHUNK))).toMatch(/hold 67108864 where 262144 were expected/);
    expect(await damage(decodePayload('zstd', bomb, { atMost: CHUNK }))).toMatch(/at most 262144/);
  });

  test('is damaged when it is no frame, or a frame that does not decode', async () => {
    expect(await damage(decodePayload('zstd', words(1000), CHUNK))).toMatch(/not one zstd frame/);
    const frame = Buffer.from(await compress(Buffer.alloc(200, 7), 3));
    frame[5] = 100; // the header says less than the blocks hold
    expect(await damage(decodePayload('zstd', frame, 100))).toMatch(/can't be decoded/);
  });
});

test('the codec none stores a payload in its own length, zstd in less', () => {
  expect(isStoredSize('none', CHUNK, CHUNK)).toBe(true);
  expect(isStoredSize('none', CHUNK - 1, CHUNK)).toBe(false);
  expect(isStoredSize('zstd', CHUNK - 1, CHUNK)).toBe(true);
  expect(isStoredSize('zstd', 0, CHUNK)).toBe(false);
  expect(isStoredSize('zstd', CHUNK, CHUNK)).toBe(false);
});
