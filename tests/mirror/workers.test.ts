import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { WorkerWords, noWorkers, type WorkerFence } from '../../lib/mirror/worker-fence.js';
import { CHUNK, TestPlace, wanted } from './fake-source.js';

const WORKERS = 2;
const CHUNKS = 96;
const QUOTA_CHUNKS = 24;

let place: TestPlace;
beforeEach(async () => {
  place = await TestPlace.make();
});
afterEach(async () => {
  await place.remove();
});

/** Evicts at full speed under reading workers, until `isEnough`. */
async function run(
  fenceOf: (words: WorkerWords) => WorkerFence,
  dawdle: number,
  isEnough: (evictions: number, wrongReads: number, reads: number) => boolean,
): Promise<{ wrongReads: number }> {
  const chunks = place.source.addSegment('s', 1, CHUNKS);
  const words = new WorkerWords(WORKERS);
  const mirror = await place.open({ quotaBytes: QUOTA_CHUNKS * CHUNK, fence: fenceOf(words) });
  const map = mirror.createMap(CHUNK, CHUNKS);
  const { descriptor, referenced } = mirror.slotFile(CHUNK);
  const counters = new Int32Array(new SharedArrayBuffer(12));
  const workers = Array.from(
    { length: WORKERS },
    (_, n) =>
      new Worker(new URL('./slot-reader.mjs', import.meta.url), {
        workerData: {
          words: words.words,
          wordIndex: WorkerWords.indexOf(n),
          map: map.words,
          referenced,
          descriptor,
          chunkSizeBytes: CHUNK,
          counters,
          dawdle,
        },
      }),
  );
  const ends = workers.map(async (worker) => once(worker, 'exit'));
  try {
    const enough = (): boolean =>
      isEnough(mirror.statistics().evictedChunks, Atomics.load(counters, 2), Atomics.load(counters, 1));
    for (let first = 0; !enough();) {
      const batch = wanted(chunks.slice(first, first + 12), first);
      (await mirror.ensure(map, batch, 'demand')).release();
      first = (first + 12) % CHUNKS;
    }
  } finally {
    Atomics.store(counters, 0, 1);
    await Promise.all(ends);
  }
  return { wrongReads: Atomics.load(counters, 2) };
}

describe('eviction under worker threads', () => {
  test('no worker that follows the rule ever reads a wrong byte', async () => {
    const least = Number(process.env['LAZYDISK_EVICTIONS'] ?? 10_000);
    const result = await run(
      (words) => words,
      20,
      // On a busy machine the workers may begin late, and what nobody reads shows nothing.
      (evictions, wrong, reads) => (evictions >= least && reads > 1000) || wrong > 0,
    );
    expect(result.wrongReads).toBe(0);
  }, 600_000);

  test('without the fence the same workers do read wrong bytes: the test above can fail', async () => {
    const result = await run(
      () => noWorkers,
      20_000,
      (evictions, wrong) => evictions >= 1_000_000 || wrong > 0,
    );
    expect(result.wrongReads).toBeGreaterThan(0);
  }, 600_000);
});
