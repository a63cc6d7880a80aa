import { expect, test } from '@jest/globals';
import { StoreWatch, WATCH_INTERVAL_MS } from '../../lib/image/store-watch.js';
import { waitFor } from '../helpers/waiting.js';

/** A watch whose time passes when `pass` is called, of a store that is away or not. */
function watched() {
  const closing = new AbortController();
  const state = { nowMs: 0, away: true, asked: 0 };
  let wake: (() => void) | undefined;
  const watch = new StoreWatch({
    ask: () => {
      state.asked++;
      return Promise.resolve();
    },
    isAway: () => state.away,
    closing: closing.signal,
    now: () => state.nowMs,
    wait: (waitMs) =>
      new Promise((resolve) => {
        wake = (): void => {
          state.nowMs += waitMs;
          resolve();
        };
      }),
  });
  /** Waits until the watch waits, and lets that time pass. */
  const pass = async (): Promise<void> => {
    await waitFor('the watch waits', () => wake !== undefined);
    const ends = wake!;
    wake = undefined;
    ends();
    await new Promise(setImmediate);
  };
  return { watch, state, closing, pass };
}

test('a doubt is a question at once, and one more every interval until the store answers', async () => {
  const { watch, state, pass } = watched();
  watch.doubt();
  watch.doubt();
  expect(state.asked).toBe(1);
  await pass();
  expect([state.asked, state.nowMs]).toEqual([2, WATCH_INTERVAL_MS]);
  state.away = false;
  await pass();
  expect([state.asked, state.nowMs]).toEqual([3, 2 * WATCH_INTERVAL_MS]);
});

test('doubts about a store that answers ask it once an interval', async () => {
  const { watch, state, pass } = watched();
  state.away = false;
  watch.doubt();
  await new Promise(setImmediate);
  for (let failures = 0; failures < 100; failures++) watch.doubt();
  expect(state.asked).toBe(1);
  await pass();
  expect([state.asked, state.nowMs]).toEqual([2, WATCH_INTERVAL_MS]);
});

test('who was found away by others is asked after an interval', async () => {
  const { watch, state, pass } = watched();
  watch.foundAway();
  expect(state.asked).toBe(0);
  state.away = false;
  await pass();
  expect([state.asked, state.nowMs]).toEqual([1, WATCH_INTERVAL_MS]);
});

test('a catalogue that is closed asks nothing more', async () => {
  const { watch, state, closing, pass } = watched();
  watch.doubt();
  closing.abort();
  await pass();
  watch.doubt();
  await new Promise(setImmediate);
  expect(state.asked).toBe(1);
});
