/**
 * What every store must do: the contract of lib/store/object-store.ts as checks.
 *
 * A check is a plain async function that throws when the store breaks a promise, so that a test can also assert that a
 * bad store fails it. Checks share one store and keep apart by an area of keys of their own.
 */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { orAborted } from '../../lib/util/abort.js';
import { hasCode, type ErrorCode } from '../../lib/util/errors.js';
import type { ObjectStore } from '../../lib/store/object-store.js';

/** What a check works on. */
export interface StoreUnderTest {
  readonly store: ObjectStore;
  /** Another object for the same place, as another host would have; the same one when there can't be two. */
  readonly other: ObjectStore;
  /** The keys of this check begin with this; it ends in a slash. */
  readonly area: string;
}

export interface StoreCheck {
  /** A fact about a good store, in the present tense. */
  readonly title: string;
  run(under: StoreUnderTest): Promise<void>;
}

/** Runs all checks as tests. The suite closes what `makeStores` made. */
export function objectStoreSuite(
  name: string,
  makeStores: () => Promise<{ store: ObjectStore; other?: ObjectStore }>,
): void {
  describe(`${name} keeps the contract of a store`, () => {
    let made: { store: ObjectStore; other?: ObjectStore };
    beforeAll(async () => {
      made = await makeStores();
    });
    afterAll(async () => {
      await made.store.close();
      await made.other?.close();
    });
    for (const [index, check] of objectStoreChecks.entries()) {
      it(check.title, () => check.run({ store: made.store, other: made.other ?? made.store, area: `check-${index}/` }));
    }
  });
}

/** 32 racers create one key: exactly one wins, the others get EXISTS, and the object is the winner's. */
export async function exclusivePutHasOneWinner({ store, other, area }: StoreUnderTest): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    const key = `${area}race-${round}`;
    const racers = Array.from({ length: 32 }, async (_, racer) => {
      const bytes = Buffer.alloc(4096, racer);
      try {
        await putAsHostsDo(racer % 2 === 0 ? store : other, key, bytes);
        return { racer, outcome: 'won' };
      } catch (error) {
        if (hasCode(error, 'EXISTS')) return { racer, outcome: 'lost' };
        throw error;
      }
    });
    const winners = (await Promise.all(racers)).filter(({ outcome }) => outcome === 'won');
    assert.equal(winners.length, 1, `${winners.length} racers created ${key}`);
    assert.deepEqual(await store.get(key), Buffer.alloc(4096, winners[0]!.racer));
  }
}

/** As a host: a server may answer 409 to a race that is undecided yet, which the retrying decorator tries again. */
async function putAsHostsDo(store: ObjectStore, key: string, bytes: Buffer): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await store.put(key, bytes, { ifAbsent: true });
      return;
    } catch (error) {
      const undecided = hasCode(error, 'UNREACHABLE') && error.facts.status === 409;
      if (!undecided || attempt === 20) throw error;
    }
  }
}

/** An exclusive put of a key that is there is refused, and changes nothing. */
export async function exclusivePutRefusesExisting({ store, other, area }: StoreUnderTest): Promise<void> {
  await store.put(`${area}once`, Buffer.from('first'));
  await rejectsWith('EXISTS', other.put(`${area}once`, Buffer.from('second'), { ifAbsent: true }));
  await rejectsWith('EXISTS', store.put(`${area}once`, Buffer.from('first'), { ifAbsent: true }));
  assert.equal((await store.get(`${area}once`)).toString(), 'first');
  await store.delete(`${area}once`);
  await store.put(`${area}once`, Buffer.from('third'), { ifAbsent: true });
  assert.equal((await other.get(`${area}once`)).toString(), 'third');
}

/** Names that need care in a URL, in XML or in a shell. Each is a good key. */
const SPECIAL_NAMES = [
  'a b',
  ' leading',
  'a+b',
  'a%20b',
  'a&amp;b=c',
  'a?b#c',
  `q'"<>`,
  '00012',
  '0x1F',
  '~',
  '*',
  '(x)',
  '!',
  'ü',
  '日本',
  'name.',
  '...',
  '-rf',
  '.hidden',
  'x'.repeat(255),
];

const BAD_KEYS = [
  '',
  '/',
  '/a',
  'a/',
  'a//b',
  '.',
  '..',
  '../a',
  'a/..',
  'a/../../b',
  'a/./b',
  'a\0b',
  'a\nb',
  'a\\b',
  'a\u{1F600}b',
  'a\ud800',
  'x'.repeat(256),
  'x/'.repeat(600) + 'x',
  '.lazydisk-tmp/a',
];

/** All checks. Slow ones keep their numbers of requests low. */
export const objectStoreChecks: readonly StoreCheck[] = [
  {
    title: 'what was put is read, by every other reader too, and can be replaced',
    async run({ store, other, area }) {
      const bytes = patterned(300_000, 1);
      await store.put(`${area}dir/object`, bytes);
      assert.deepEqual(await store.get(`${area}dir/object`), bytes);
      assert.deepEqual(await other.get(`${area}dir/object`), bytes);
      await other.put(`${area}dir/object`, Buffer.from('short'));
      assert.equal((await store.get(`${area}dir/object`)).toString(), 'short');
    },
  },
  {
    title: 'a buffer that was put or got belongs to its caller',
    async run({ store, area }) {
      const view = new Uint8Array(patterned(64, 2).buffer, 0, 64).slice(8, 40);
      await store.put(`${area}object`, view);
      const before = Buffer.from(view);
      view.fill(0);
      const first = await store.get(`${area}object`);
      assert.deepEqual(first, before);
      // A small buffer must not be a window on memory that others use: it may be transferred to a worker.
      assert.equal(first.buffer.byteLength, first.length);
      first.fill(0);
      assert.deepEqual(await store.get(`${area}object`), before);
    },
  },
  {
    title: 'a range is exactly the bytes that were asked for',
    async run({ store, area }) {
      const bytes = patterned(10_000, 3);
      await store.put(`${area}object`, bytes);
      for (const [offsetBytes, lengthBytes] of [
        [0, 1],
        [0, 10_000],
        [1, 9_999],
        [9_999, 1],
        [4_096, 4_096],
      ] as const) {
        const range = { offsetBytes, lengthBytes };
        const expected = bytes.subarray(offsetBytes, offsetBytes + lengthBytes);
        assert.deepEqual(await store.get(`${area}object`, { range }), expected);
      }
    },
  },
  {
    title: 'a range that goes past the end is DAMAGED, never a shorter success',
    async run({ store, area }) {
      await store.put(`${area}object`, patterned(100, 4));
      await store.put(`${area}empty`, Buffer.alloc(0));
      for (const [key, offsetBytes, lengthBytes] of [
        ['object', 0, 101],
        ['object', 99, 2],
        ['object', 100, 1],
        ['object', 5_000, 10],
        ['empty', 0, 1],
      ] as const) {
        await rejectsWith('DAMAGED', store.get(area + key, { range: { offsetBytes, lengthBytes } }));
      }
    },
  },
  {
    title: 'a range without bytes is USAGE',
    async run({ store, area }) {
      await store.put(`${area}object`, patterned(100, 5));
      for (const [offsetBytes, lengthBytes] of [
        [0, 0],
        [-1, 5],
        [0, -1],
        [0.5, 1],
        [0, Number.NaN],
      ] as const) {
        await rejectsWith('USAGE', store.get(`${area}object`, { range: { offsetBytes, lengthBytes } }));
      }
    },
  },
  {
    title: 'who listens to a body hears of the buffer that is returned, growing, and of all of it before the end',
    async run({ store, area }) {
      const bytes = patterned(3_000_000, 7);
      await store.put(`${area}object`, bytes);
      await store.put(`${area}empty`, Buffer.alloc(0));
      for (const range of [
        undefined,
        { offsetBytes: 0, lengthBytes: 3_000_000 },
        { offsetBytes: 999_999, lengthBytes: 1_500_001 },
        { offsetBytes: 2_999_999, lengthBytes: 1 },
      ]) {
        const expected = range === undefined ? bytes : bytes.subarray(range.offsetBytes).subarray(0, range.lengthBytes);
        const heard: Buffer[] = [];
        let filled = 0;
        let settled = false;
        const returned = await store.get(`${area}object`, {
          range,
          onBytes: (whole, filledBytes) => {
            assert.ok(!settled, 'it was told of bytes after the end');
            assert.ok(filledBytes > filled && filledBytes <= whole.length, `${filled}, then ${filledBytes}`);
            assert.ok(whole.subarray(filled, filledBytes).equals(expected.subarray(filled, filledBytes)));
            filled = filledBytes;
            heard.push(whole);
          },
        });
        settled = true;
        assert.equal(filled, expected.length);
        assert.ok(heard.every((whole) => whole === returned));
        assert.ok(returned.equals(expected));
        assert.equal(returned.buffer.byteLength, expected.length, 'the buffer is a window on memory of others');
      }
      const unheard = (): void => assert.fail('there are no bytes to tell of');
      assert.equal((await store.get(`${area}empty`, { onBytes: unheard })).length, 0);
      await rejectsWith('NOT_FOUND', store.get(`${area}none`, { onBytes: unheard }));
      const range = { offsetBytes: 2_999_999, lengthBytes: 2 };
      await rejectsWith('DAMAGED', store.get(`${area}object`, { range, onBytes: unheard }));
    },
  },
  {
    title: 'a missing key is NOT_FOUND, whole and in part, also when it is the beginning of another',
    async run({ store, area }) {
      await store.put(`${area}dir/object`, Buffer.from('x'));
      for (const key of ['none', 'dir', 'dir/none', 'none/none', 'dir/object2']) {
        await rejectsWith('NOT_FOUND', store.get(area + key));
        await rejectsWith('NOT_FOUND', store.get(area + key, { range: { offsetBytes: 0, lengthBytes: 1 } }));
      }
    },
  },
  {
    title: 'a paced put sends nothing before its turn, asks for as many bytes as it has, and is whole',
    async run({ store, area }) {
      const bytes = patterned(200_000, 6);
      let askedBytes = 0;
      await store.put(`${area}object`, bytes, {
        pace: async (sizeBytes) => {
          if (askedBytes === 0) await rejectsWith('NOT_FOUND', store.get(`${area}object`));
          askedBytes += sizeBytes;
        },
      });
      assert.equal(askedBytes, bytes.length);
      assert.ok((await store.get(`${area}object`)).equals(bytes));
    },
  },
  {
    title: 'a put that waits for its turn ends when its caller goes, and has no effect',
    async run({ store, area }) {
      const controller = new AbortController();
      const put = store.put(`${area}object`, patterned(200_000, 7), {
        signal: controller.signal,
        pace: (_, signal) => {
          setImmediate(() => controller.abort());
          return orAborted(new Promise<never>(() => undefined), signal);
        },
      });
      await rejectsWith('ABORTED', put);
      await rejectsWith('NOT_FOUND', store.get(`${area}object`));
    },
  },
  {
    title: 'an empty object is an object',
    async run({ store, area }) {
      await store.put(`${area}empty`, Buffer.alloc(0));
      assert.equal((await store.get(`${area}empty`)).length, 0);
      const { objects } = await store.list(area);
      assert.deepEqual(
        objects.map(({ key, sizeBytes }) => [key, sizeBytes]),
        [[`${area}empty`, 0]],
      );
      await rejectsWith('EXISTS', store.put(`${area}empty`, Buffer.alloc(0), { ifAbsent: true }));
    },
  },
  {
    title: 'a reader sees the old object or the new one, never a mixture',
    async run({ store, other, area }) {
      const key = `${area}object`;
      const sizeBytes = 200_000;
      await store.put(key, Buffer.alloc(sizeBytes, 0));
      let writing = true;
      const write = async (): Promise<void> => {
        for (let version = 1; version <= 20; version += 1) await store.put(key, Buffer.alloc(sizeBytes, version));
        writing = false;
      };
      const read = async (): Promise<void> => {
        let newest = 0;
        do {
          const bytes = await other.get(key);
          assert.equal(bytes.length, sizeBytes);
          assert.ok(bytes.equals(Buffer.alloc(sizeBytes, bytes[0]!)), 'one object has bytes of two puts');
          assert.ok(bytes[0]! >= newest, 'a later read shows an earlier object');
          newest = bytes[0]!;
        } while (writing);
      };
      await Promise.all([write(), read(), read(), read()]);
      assert.equal((await store.get(key))[0], 20);
    },
  },
  { title: 'of 32 racers with ifAbsent exactly one wins', run: exclusivePutHasOneWinner },
  { title: 'ifAbsent refuses a key that is there, and changes nothing', run: exclusivePutRefusesExisting },
  {
    title: 'a listing is in key order, by prefix, with sizes and times',
    async run({ store, area }) {
      for (const [key, sizeBytes] of [
        ['b/2', 2],
        ['b/1', 1],
        ['bb', 3],
        ['a', 4],
        ['B', 5],
        ['b-1', 6],
      ] as const) {
        await store.put(area + key, Buffer.alloc(sizeBytes));
      }
      const sizesOf = async (prefix: string): Promise<unknown> =>
        (await store.list(area + prefix)).objects.map(({ key, sizeBytes }) => [key.slice(area.length), sizeBytes]);
      assert.deepEqual(await sizesOf(''), [
        ['B', 5],
        ['a', 4],
        ['b-1', 6],
        ['b/1', 1],
        ['b/2', 2],
        ['bb', 3],
      ]);
      assert.deepEqual(await sizesOf('b/'), [
        ['b/1', 1],
        ['b/2', 2],
      ]);
      assert.deepEqual(await sizesOf('bb'), [['bb', 3]]);
      assert.deepEqual(await sizesOf('none'), []);
      assert.deepEqual(await sizesOf('none/none/'), []);
      const { objects, prefixes } = await store.list(area);
      assert.deepEqual(prefixes, []);
      // Within a day: the clock is the store's.
      for (const { modifiedMs } of objects) assert.ok(Math.abs(modifiedMs - Date.now()) < 86_400_000);
    },
  },
  {
    title: 'a listing with a delimiter stops at the next slash and shows no empty prefix',
    async run({ store, area }) {
      for (const key of ['a', 'b/1', 'b/2', 'b/c/3', 'd/e/f/4', 'gone/5']) {
        await store.put(area + key, Buffer.from(key));
      }
      await store.delete(`${area}gone/5`);
      const cut = async (prefix: string): Promise<unknown> => {
        const listing = await store.list(area + prefix, { delimiter: '/' });
        const strip = (key: string): string => key.slice(area.length);
        return [listing.objects.map(({ key }) => strip(key)), listing.prefixes.map(strip)];
      };
      assert.deepEqual(await cut(''), [['a'], ['b/', 'd/']]);
      assert.deepEqual(await cut('b'), [[], ['b/']]);
      assert.deepEqual(await cut('b/'), [['b/1', 'b/2'], ['b/c/']]);
      assert.deepEqual(await cut('d/e'), [[], ['d/e/']]);
      assert.deepEqual(await cut('gone'), [[], []]);
      assert.deepEqual(await cut('x'), [[], []]);
    },
  },
  {
    title: 'a listing of more than a thousand keys is complete',
    async run({ store, area }) {
      const keys = Array.from({ length: 1_030 }, (_, index) => `${area}many/k +${String(index).padStart(5, '0')}`);
      for (let at = 0; at < keys.length; at += 64) {
        await Promise.all(keys.slice(at, at + 64).map((key) => store.put(key, Buffer.alloc(0))));
      }
      const { objects } = await store.list(`${area}many/`);
      assert.deepEqual(
        objects.map(({ key }) => key),
        keys,
      );
      const cut = await store.list(area, { delimiter: '/' });
      assert.deepEqual(cut, { objects: [], prefixes: [`${area}many/`] });
    },
  },
  {
    title: 'deleting removes the object, and is done also when there was none',
    async run({ store, other, area }) {
      await store.put(`${area}dir/object`, Buffer.from('x'));
      await store.delete(`${area}dir/object`);
      await rejectsWith('NOT_FOUND', other.get(`${area}dir/object`));
      assert.deepEqual(await other.list(area), { objects: [], prefixes: [] });
      await store.delete(`${area}dir/object`);
      await store.delete(`${area}never`);
      await store.delete(`${area}dir`);
    },
  },
  {
    title: 'keys with special characters are kept apart and listed as they are',
    async run({ store, area }) {
      const keys = SPECIAL_NAMES.map((name) => area + name);
      for (const key of keys) await store.put(key, Buffer.from(key));
      for (const key of keys) assert.equal((await store.get(key)).toString(), key);
      const listed = (await store.list(area)).objects.map(({ key }) => key);
      assert.deepEqual(
        listed,
        [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      );
      for (const key of keys) await store.delete(key);
      assert.deepEqual((await store.list(area)).objects, []);
    },
  },
  {
    title: 'a string that is no key is USAGE for every operation',
    async run({ store }) {
      for (const key of BAD_KEYS) {
        await rejectsWith('USAGE', store.get(key), key);
        await rejectsWith('USAGE', store.put(key, Buffer.from('x')), key);
        await rejectsWith('USAGE', store.put(key, Buffer.from('x'), { ifAbsent: true }), key);
        await rejectsWith('USAGE', store.delete(key), key);
      }
      for (const prefix of ['../', '..', '/', 'a//', 'a/../', '.lazydisk-tmp/']) {
        await rejectsWith('USAGE', store.list(prefix), prefix);
      }
    },
  },
  {
    title: 'a call whose signal has fired is ABORTED and has no effect',
    async run({ store, area }) {
      const signal = AbortSignal.abort();
      await store.put(`${area}object`, Buffer.from('x'));
      await rejectsWith('ABORTED', store.get(`${area}object`, { signal }));
      await rejectsWith('ABORTED', store.put(`${area}other`, Buffer.from('x'), { signal }));
      await rejectsWith('ABORTED', store.list(area, { signal }));
      await rejectsWith('ABORTED', store.delete(`${area}object`, { signal }));
      const { objects } = await store.list(area);
      assert.deepEqual(
        objects.map(({ key }) => key),
        [`${area}object`],
      );
    },
  },
  {
    title: 'a call that is aborted under way ends, and leaves an object whole or absent',
    async run({ store, area }) {
      const bytes = patterned(4 * 1024 * 1024, 6);
      for (let delay = 0; delay < 6; delay += 1) {
        const key = `${area}put-${delay}`;
        const controller = new AbortController();
        const put = store.put(key, bytes, { signal: controller.signal });
        afterTurns(delay * 4, () => controller.abort());
        await doneOrAborted(put);
        try {
          assert.ok((await store.get(key)).equals(bytes), 'the object is not whole');
        } catch (error) {
          assert.ok(hasCode(error, 'NOT_FOUND'), String(error));
        }
      }
      await store.put(`${area}object`, bytes);
      for (let delay = 0; delay < 6; delay += 1) {
        const controller = new AbortController();
        const get = store.get(`${area}object`, { signal: controller.signal });
        afterTurns(delay * 4, () => controller.abort());
        const got = await doneOrAborted(get);
        if (got !== undefined) assert.ok(got.equals(bytes), 'what was read is not the object');
      }
    },
  },
  {
    title: 'a signal that is shared by many calls keeps nothing of them',
    async run({ store, area }) {
      const { signal } = new AbortController();
      await store.put(`${area}object`, Buffer.from('x'), { signal });
      await Promise.all(Array.from({ length: 40 }, () => store.get(`${area}object`, { signal })));
      await store.list(area, { signal });
      await rejectsWith('NOT_FOUND', store.get(`${area}none`, { signal }));
      // A mount holds one signal for as long as it lives. A connection may let go of it a few turns after the answer.
      for (let turn = 0; turn < 1000 && getEventListeners(signal, 'abort').length > 0; turn += 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    },
  },
  {
    title: 'its location says where it is',
    run({ store }) {
      assert.match(store.location, /^[a-z0-9]+:/);
      return Promise.resolve();
    },
  },
];

/** Throws unless the promise rejects with this code. */
async function rejectsWith(code: ErrorCode, promise: Promise<unknown>, about = ''): Promise<void> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    assert.ok(hasCode(error, code), `${code} was expected ${JSON.stringify(about)}, and this came: ${String(error)}`);
    return;
  }
  assert.fail(`${code} was expected ${JSON.stringify(about)}, and it succeeded with ${String(value)}`);
}

async function doneOrAborted<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    assert.ok(hasCode(error, 'ABORTED'), String(error));
    return undefined;
  }
}

/** Calls back after so many turns of the event loop. */
function afterTurns(turns: number, callback: () => void): void {
  if (turns === 0) callback();
  else setImmediate(() => afterTurns(turns - 1, callback));
}

/** Bytes without a short period; different for each seed. */
function patterned(lengthBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  for (let at = 0, state = seed; at < lengthBytes; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}
