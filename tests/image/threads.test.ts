/**
 * The heart by itself, under real threads and without a kernel: worker threads read and write while the main thread commits
 * (layer and base switches), grows and shrinks the disk, punches other blocks, and the mirror evicts with a quota far below
 * the working set. Each worker must always read what it wrote last. Runs on the built dist, as `new Worker` needs it.
 */
import { expect, test } from '@jest/globals';
import { MessageChannel, Worker } from 'node:worker_threads';

import type { Plane, PlaneFeed } from '../../lib/image/plane.js';
import { WorkerWords } from '../../lib/mirror/worker-fence.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { CHUNK, ImageWorld } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const WORKERS = 3;
const CHUNKS = 24;
const BLOCKS = (CHUNKS * CHUNK) / 4096;
const ROUNDS = Number(process.env['LAZYDISK_THREAD_ROUNDS'] ?? 6000);
const KEY = 77;

interface Counts {
  readonly reads: number;
  readonly writes: number;
  readonly forwarded: number;
  readonly wrong: readonly string[];
}
type FromWorker =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'read'; readonly offset: number; readonly length: number }
  | { readonly kind: 'done'; readonly counts: Counts };

test('workers read what they wrote last while layers, bases, arrays and slots change under them', async () => {
  const seed = Number(process.env['LAZYDISK_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const words = new WorkerWords(WORKERS);
  const generation = new Int32Array(new SharedArrayBuffer(4));
  const channels = Array.from({ length: WORKERS }, () => new MessageChannel());
  const feed: PlaneFeed = {
    publish: (plane: Plane) => {
      raise({ kind: 'publish', plane });
    },
    withdraw: (key: number) => {
      raise({ kind: 'withdraw', key });
    },
  };
  function raise(message: object): void {
    const next = Atomics.load(generation, 0) + 1;
    for (const { port1 } of channels) port1.postMessage({ ...message, generation: next });
    Atomics.store(generation, 0, next);
  }

  const world = await ImageWorld.open(temporaryFolder('threads'), {
    quotaBytes: 6 * CHUNK,
    fence: words,
    planes: feed,
  });
  const image = await world.catalogue.create('disk');
  await image.createHead();
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(CHUNKS * CHUNK, 9));
  await image.commit({});
  await head.expose(KEY);

  let running = WORKERS;
  const results = channels.map(({ port2 }, index) => {
    const bell = new Int32Array(new SharedArrayBuffer(4));
    const answers = new MessageChannel();
    const worker = new Worker(new URL('./serving-thread.mjs', import.meta.url), {
      workerData: {
        index,
        workers: WORKERS,
        blocks: BLOCKS,
        rounds: ROUNDS,
        words: words.words,
        wordIndex: WorkerWords.indexOf(index),
        generation,
        port: port2,
        bell,
        answers: answers.port2,
        key: KEY,
        seed: seed + index,
      },
      transferList: [port2, answers.port2],
    });
    const answer = (value: unknown): void => {
      answers.port1.postMessage(value);
      Atomics.store(bell, 0, 1);
      Atomics.notify(bell, 0);
    };
    return new Promise<Counts>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'done') {
          running--;
          answers.port1.close();
          resolve(message.counts);
        } else if (message.kind === 'write') {
          head.write(message.offset, message.bytes).then(() => answer(null), reject);
        } else {
          head.read(message.offset, message.length).then(answer, reject);
        }
      });
    });
  });

  const finished = Promise.all(results);
  let commits = 0;
  const changes = (async (): Promise<void> => {
    while (running > 0) {
      await image.commit({});
      commits++;
      await head.punch((BLOCKS + 5) * 4096, 40_960);
      await head.write((BLOCKS + 3) * 4096 + 100, Buffer.alloc(9000, commits));
      await head.truncate((BLOCKS + 1 + (commits % 7)) * 4096 + 300);
      if (commits % 5 === 0) await head.fsync();
    }
  })();
  const counts = await finished;
  await changes;
  for (const { port1 } of channels) port1.close();

  const { evictedChunks } = world.mirror.statistics();
  const total = (of: (count: Counts) => number): number => counts.reduce((sum, count) => sum + of(count), 0);
  console.log(
    `seed ${seed}: ${total((c) => c.reads)} reads, ${total((c) => c.writes)} writes, ${total((c) => c.forwarded)} handed over, ` +
      `${commits} commits, ${evictedChunks} evictions`,
  );
  expect(counts.flatMap((count) => count.wrong)).toEqual([]);
  expect(commits).toBeGreaterThan(3);
  expect(evictedChunks).toBeGreaterThan(0);
  expect(total((c) => c.forwarded)).toBeLessThan(total((c) => c.reads + c.writes));
  await world.close();
}, 600_000);
