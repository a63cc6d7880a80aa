/** What went on: rates from counters, times from steps, and no more than the last minutes. */
import { expect, jest, test } from '@jest/globals';
import { History, sampleOf, type Counters } from '../../mount/dashboard/history.js';
import { HISTORY_SECONDS, type Sample } from '../../mount/dashboard/protocol.js';
import { ReadTimes } from '../../mount/dashboard/read-times.js';

function counters(atMs: number, value: number): Counters {
  return {
    atMs,
    driver: { localReads: value, localReadBytes: 4096 * value, localWriteBytes: 512 * value },
    fetchedBytes: { demand: value, readahead: 2 * value, prefetch: 3 * value, eager: 4 * value, fill: 5 * value },
  };
}

test('a sample is what the counters grew by, per second, whatever time has passed', () => {
  const sample = sampleOf(counters(1000, 10), counters(3000, 30), { count: 4, medianMs: 1, mostMs: 9 });
  expect(sample).toEqual({
    atMs: 3000,
    localReads: 10,
    localReadBytes: 40_960,
    writtenBytes: 5120,
    waitedReads: 2,
    waitMedianMs: 1,
    waitMostMs: 9,
    demandBytes: 10,
    readaheadBytes: 20,
    profileBytes: 30,
    fillBytes: 90,
  });
});

test('a clock that is set back makes no negative rates', () => {
  const sample = sampleOf(counters(5000, 30), counters(1000, 30), new ReadTimes().take());
  expect(sample).toMatchObject({ localReads: 0, waitedReads: 0, waitMedianMs: null, waitMostMs: null });
});

test('times are told within a quarter, and begin anew with every look', () => {
  const times = new ReadTimes();
  for (let index = 0; index < 98; index++) times.add(20);
  times.add(3000);
  times.add(3000);
  const { count, medianMs, mostMs } = times.take();
  expect(count).toBe(100);
  expect(medianMs! / 20).toBeGreaterThanOrEqual(1);
  expect(medianMs! / 20).toBeLessThan(1.25);
  expect(mostMs! / 3000).toBeGreaterThanOrEqual(1);
  expect(mostMs! / 3000).toBeLessThan(1.25);
  expect(times.take()).toEqual({ count: 0, medianMs: null, mostMs: null });
});

test('times of any length are counted', () => {
  const times = new ReadTimes();
  for (const ms of [0, 0.01, 1e9, Number.MAX_VALUE]) times.add(ms);
  expect(times.take().count).toBe(4);
});

test('the last minutes are kept, and listeners are told of every sample until they leave', () => {
  jest.useFakeTimers();
  try {
    let value = 0;
    const history = new History(() => counters(Date.now(), value++), new ReadTimes());
    const told: Sample[] = [];
    history.start();
    const leave = history.onSample((sample) => told.push(sample));
    jest.advanceTimersByTime((HISTORY_SECONDS + 10) * 1000);
    expect(history.samples).toHaveLength(HISTORY_SECONDS);
    expect(history.samples.at(-1)).toBe(told.at(-1));
    expect(told).toHaveLength(HISTORY_SECONDS + 10);
    leave();
    history.close();
    jest.advanceTimersByTime(5000);
    expect(told).toHaveLength(HISTORY_SECONDS + 10);
  } finally {
    jest.useRealTimers();
  }
});
