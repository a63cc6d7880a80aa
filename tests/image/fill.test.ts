/** The background fill of open images, readahead, and what ends them. */
import { expect, test } from '@jest/globals';

import type { Disk, Image } from '../../lib/image/api.js';
import type { FaultyStore } from '../helpers/faulty-store.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { CHUNK, ImageWorld, shut } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

const NODE = 7;

/** A store with the image `disk` of `chunks` chunks that all differ. */
async function storeWithImage(chunks: number): Promise<FaultyStore> {
  const maker = await ImageWorld.open(temporaryFolder('maker'));
  await (await maker.catalogue.create('disk')).createHead();
  const head = await maker.openHead('disk');
  for (let chunk = 0; chunk < chunks; chunk++) await head.write(chunk * CHUNK, Buffer.alloc(CHUNK, chunk + 1));
  await (await maker.catalogue.find('disk'))!.commit({});
  shut(head);
  await maker.close();
  return maker.store;
}

/** Another host, which has nothing of it. */
function otherHost(store: FaultyStore, fill: 'off' | 'idle' | 'eager', quotaBytes: number | null = null) {
  return ImageWorld.open(temporaryFolder('other'), { store, stateId: 'b'.repeat(32), fill, quotaBytes });
}

async function imageOf(world: ImageWorld): Promise<Image> {
  return (await world.catalogue.find('disk'))!;
}

async function fillEnded(image: Image): Promise<void> {
  await waitFor('the fill has ended', async () => (await image.status()).fill !== 'running');
}

/** Segment GETs, and the bytes that came by them. */
function segmentGets(store: FaultyStore): number {
  return store.calls.filter(({ operation, key }) => operation === 'get' && key.startsWith('segments/')).length;
}

// S45
test.each(['head', 'snapshot'])(
  'an open %s becomes local without being read, and then needs no store',
  async (kind) => {
    const store = await storeWithImage(24);
    const world = await otherHost(store, 'idle');
    const image = await imageOf(world);
    const disk: Disk = kind === 'head' ? (await image.head())! : await image.snapshot(1);
    expect(await image.status()).toMatchObject({ missingBytes: 24 * CHUNK, needsStore: true, fill: 'off' });
    await disk.expose(NODE);
    await fillEnded(image);
    expect(await image.status()).toMatchObject({
      missingBytes: 0,
      needsStore: false,
      localBytes: 24 * CHUNK,
      fill: 'complete',
    });
    expect(world.mirror.statistics().fetchedChunks).toBe(24);

    store.setOutage(true);
    store.resetCounts();
    for (let chunk = 0; chunk < 24; chunk++) expect((await disk.read(chunk * CHUNK, 1))[0]).toBe(chunk + 1);
    expect(segmentGets(store)).toBe(0);
    store.clearFaults();
    await disk.conceal(NODE);
    await world.close();
  },
);

// S45
test('an image that nobody has open is not filled', async () => {
  const store = await storeWithImage(8);
  const world = await otherHost(store, 'eager');
  const image = await imageOf(world);
  const head = (await image.head())!;
  await image.status();
  await head.read(0, 1);
  expect(world.mirror.statistics().fetchedChunks).toBe(1);
  expect((await image.status()).fill).toBe('off');
  await world.close();
});

test('the last close ends the fill, and closing the catalogue waits for it', async () => {
  const store = await storeWithImage(24);
  const world = await otherHost(store, 'idle');
  const head = (await (await imageOf(world)).head())!;
  store.inject({ kind: 'stall' }, { operation: 'get', key: /^segments/, times: Infinity });
  await head.expose(NODE);
  await head.expose(NODE + 1);
  await store.until(() => store.stalledCalls > 0);
  await head.conceal(NODE);
  await head.conceal(NODE + 1);
  const { requests } = store;
  store.releaseStalled();
  store.clearFaults();
  await world.catalogue.close(1000);
  expect(store.requests).toBe(requests);
  await world.mirror.close();
});

// S45
test('a fill uses free room only: it evicts nothing and says so', async () => {
  const store = await storeWithImage(24);
  const world = await otherHost(store, 'idle', 10 * CHUNK);
  const image = await imageOf(world);
  const head = (await image.head())!;
  await head.expose(NODE);
  await fillEnded(image);
  const { fill, missingBytes } = await image.status();
  expect(fill).toBe('no-room');
  expect(missingBytes).toBeGreaterThanOrEqual(14 * CHUNK);
  expect(world.mirror.statistics().evictedChunks).toBe(0);
  await head.conceal(NODE);
  await world.close();
});

test('a store that fails ends a run, and reads go on as ever', async () => {
  const store = await storeWithImage(8);
  const world = await otherHost(store, 'idle');
  const image = await imageOf(world);
  const head = (await image.head())!;
  await head.read(0, 1);
  store.setOutage(true);
  await head.expose(NODE);
  await fillEnded(image);
  expect((await image.status()).fill).toBe('failed');
  store.clearFaults();
  expect((await head.read(5 * CHUNK, 1))[0]).toBe(6);
  await head.conceal(NODE);
  await world.close();
});

test('a commit takes the fill along to the new base: what was filled is not asked for again', async () => {
  const store = await storeWithImage(8);
  const world = await otherHost(store, 'idle');
  const image = await imageOf(world);
  const head = await world.openHead('disk');
  await head.expose(NODE);
  await fillEnded(image);
  await head.write(2 * CHUNK, Buffer.alloc(4096, 9));
  store.resetCounts();
  await image.commit({});
  await fillEnded(image);
  expect(await image.status()).toMatchObject({ baseNumber: 2, missingBytes: 0, fill: 'complete' });
  expect(store.counts.get.bytes).toBeLessThan(CHUNK);
  await head.conceal(NODE);
  shut(head);
  await world.close();
});

test('who reads in order finds the next chunks here; who reads anywhere gets nothing more than asked for', async () => {
  const store = await storeWithImage(64);
  const world = await otherHost(store, 'off');
  const disk = await (await imageOf(world)).snapshot(1);
  await disk.expose(NODE);
  for (const chunk of [60, 3, 41, 20]) await disk.read(chunk * CHUNK, 1);
  expect(world.mirror.statistics().fetchedChunks).toBe(4);
  // 20 and 21 in order: a window of a MiB follows.
  await disk.read(21 * CHUNK, 1);
  await waitFor('the window has come', () => world.mirror.statistics().fetchedChunks === 5 + 16);
  // Its first chunk is marked: reading it asks for the next window, to the end of the image.
  expect((await disk.read(22 * CHUNK, 1))[0]).toBe(23);
  await waitFor('the next window has come', () => world.mirror.statistics().fetchedChunks === 45);
  await disk.conceal(NODE);
  await world.close();
});
