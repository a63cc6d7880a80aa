/** When readahead opens a window, how far it reaches, and when it does not. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { readaheadLimits, streamAfterMark, streamAfterMiss } from '../../lib/image/readahead.js';
import type { Stream } from '../../lib/image/readahead.js';

const LIMITS = { firstChunks: 4, mostChunks: 32 };
const CHUNKS = 1000;

function missOf(first: number, end = first + 1): { first: number; end: number } {
  return { first, end };
}

test('a miss right behind a recent read opens the first window; any other opens none', () => {
  fc.assert(
    fc.property(fc.nat(900), fc.array(fc.nat(900), { maxLength: 40 }), (first, recent) => {
      const next = streamAfterMiss(missOf(first), recent, [], CHUNKS, LIMITS);
      expect(next?.stream.window).toEqual(
        recent.includes(first - 1) ? { first: first + 1, end: first + 5 } : undefined,
      );
    }),
  );
});

test('windows that are read double up to the largest, follow one another, and stop at the end of the image', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: CHUNKS - 2 }), (first) => {
      let stream: Stream | undefined = streamAfterMiss(missOf(first), [first - 1], [], CHUNKS, LIMITS)?.stream;
      let end = first + 1;
      let size = LIMITS.firstChunks;
      while (stream !== undefined) {
        expect(stream.window.first).toBe(end);
        expect(stream.window.end).toBe(Math.min(CHUNKS, end + size));
        end = stream.window.end;
        size = Math.min(2 * size, LIMITS.mostChunks);
        stream = streamAfterMark(stream, CHUNKS, LIMITS);
      }
      expect(end).toBe(CHUNKS);
    }),
  );
});

test('a miss of what is on its way opens nothing; one at its end goes on with a larger window', () => {
  const stream: Stream = { first: 10, window: { first: 14, end: 18 } };
  for (let chunk = 10; chunk < 18; chunk++) {
    expect(streamAfterMiss(missOf(chunk), [chunk - 1], [stream], CHUNKS, LIMITS)).toBeUndefined();
  }
  expect(streamAfterMiss(missOf(18, 20), [], [stream], CHUNKS, LIMITS)).toEqual({
    stream: { first: 18, window: { first: 20, end: 28 } },
    replaces: stream,
  });
});

test('windows are a MiB at first and 8 MiB at most, a chunk at least', () => {
  expect(readaheadLimits(256 * 1024)).toEqual({ firstChunks: 4, mostChunks: 32 });
  expect(readaheadLimits(4 * 1024 * 1024)).toEqual({ firstChunks: 1, mostChunks: 2 });
});
