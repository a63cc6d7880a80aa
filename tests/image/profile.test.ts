/** Boot profiles: recorded with one host, replayed on others, for clones and later snapshots too, and shrunk by waste. */
import { expect, test } from '@jest/globals';

import { profileKey } from '../../lib/format/keys.js';
import type { BootProfile } from '../../lib/format/profile.js';
import type { Disk, FillMode, Image, ProfileMode } from '../../lib/image/api.js';
import { chunksOf } from '../../lib/image/boot-profile.js';
import { decideRecording } from '../../lib/image/profile-run.js';
import { readProfile, writeProfile } from '../../lib/repository/profiles.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import type { FaultyStore } from '../helpers/faulty-store.js';
import { CHUNK, codeOf, ImageWorld, shut } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { passed, waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

const NODE = 7;
const CHUNKS = 320;
/** 10 MiB in an order of its own, no two neighbours in a row. */
const BOOT = Array.from({ length: 160 }, (_, index) => (index * 77) % CHUNKS);
const OTHER_BOOT = BOOT.map((chunk) => (chunk + 160) % CHUNKS);

async function storeWithImage(): Promise<FaultyStore> {
  const maker = await ImageWorld.open(temporaryFolder('maker'));
  await (await maker.catalogue.create('disk')).createHead();
  const head = await maker.openHead('disk');
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    await head.write(chunk * CHUNK, Buffer.alloc(CHUNK, `chunk ${String(chunk)}`));
  }
  await (await maker.catalogue.find('disk'))!.commit({});
  shut(head);
  await maker.close();
  return maker.store;
}

let hosts = 0;
function freshHost(
  store: FaultyStore,
  profile: ProfileMode,
  options: { readonly readOnly?: boolean; readonly fill?: FillMode } = {},
): Promise<ImageWorld> {
  const stateId = String(++hosts).padStart(32, 'c');
  return ImageWorld.open(temporaryFolder(`host-${String(hosts)}`), { store, stateId, profile, ...options });
}

async function imageOf(world: ImageWorld, name = 'disk'): Promise<Image> {
  return (await world.catalogue.find(name))!;
}

async function boot(disk: Disk, chunks: readonly number[]): Promise<void> {
  await disk.expose(NODE);
  for (const chunk of chunks) await disk.read(chunk * CHUNK, 1);
  await disk.conceal(NODE);
}

/** One boot of an image on a host that has nothing of it, from open to the end of the host. */
async function bootOnFreshHost(store: FaultyStore, chunks: readonly number[], name = 'disk'): Promise<void> {
  const world = await freshHost(store, 'auto');
  await boot((await (await imageOf(world, name)).head())!, chunks);
  await world.close();
}

async function kept(store: FaultyStore, name = 'disk'): Promise<BootProfile | null> {
  return readProfile(store.inner, name);
}

function chunksIn(profile: BootProfile | null): number[] {
  return chunksOf(profile?.ranges ?? [], CHUNK, CHUNKS);
}

/** Opens on a fresh host without a read; resolves to the chunks that came by the profile of the image `from`. */
async function chunksByProfile(store: FaultyStore, from: string, name: string, snapshot?: number): Promise<number> {
  const world = await freshHost(store, 'replay');
  const image = await imageOf(world, name);
  const disk = snapshot === undefined ? (await image.head())! : await image.snapshot(snapshot);
  await disk.expose(NODE);
  await waitFor('what the profile names has come', async () => {
    const { fetchedChunks, waitingFetches } = world.mirror.statistics();
    return (await image.status()).profile?.from === from && fetchedChunks > 0 && waitingFetches === 0;
  });
  const chunks = world.mirror.statistics().fetchedChunks;
  await disk.conceal(NODE);
  await world.close();
  return chunks;
}

// S47
test('the first boot is recorded with the last close; the next host has all of it without a read', async () => {
  const store = await storeWithImage();
  await bootOnFreshHost(store, BOOT);
  const profile = await kept(store);
  expect(chunksIn(profile)).toEqual(BOOT);
  expect(profile).toMatchObject({ boots: 1 });
  expect(await chunksByProfile(store, 'disk', 'disk')).toBe(BOOT.length);
  expect(await chunksByProfile(store, 'disk', 'disk', 1)).toBe(BOOT.length);
});

// S47
test('clones, clones of clones and their later snapshots boot by the profile of the image they come from', async () => {
  const store = await storeWithImage();
  await bootOnFreshHost(store, BOOT);
  const world = await freshHost(store, 'off');
  await world.catalogue.clone('disk', 'child', {});
  await world.catalogue.clone('child', 'grandchild', {});
  const head = await world.openHead('child');
  await head.write(0, Buffer.alloc(4096, 1));
  await (await imageOf(world, 'child')).commit({});
  shut(head);
  await world.close();
  expect(await chunksByProfile(store, 'disk', 'child', 2)).toBe(BOOT.length);
  expect(await chunksByProfile(store, 'disk', 'grandchild')).toBe(BOOT.length);
});

// S47
test('a boot as expected puts nothing; a clone that boots otherwise gets a profile of its own', async () => {
  const store = await storeWithImage();
  await bootOnFreshHost(store, BOOT);
  const world = await freshHost(store, 'off');
  await world.catalogue.clone('disk', 'child', {});
  await world.close();
  store.resetCounts();
  await bootOnFreshHost(store, BOOT, 'child');
  expect(store.calls.filter(({ operation, key }) => operation === 'put' && key.startsWith('images/'))).toEqual([]);
  expect(await kept(store, 'child')).toBeNull();
  await bootOnFreshHost(store, OTHER_BOOT, 'child');
  expect(await kept(store, 'child')).toMatchObject({ boots: 2 });
  expect(chunksIn(await kept(store))).toEqual(BOOT);
});

// S47
test('what was fetched and not used is told, and leaves the profile after three boots', async () => {
  const store = await storeWithImage();
  await bootOnFreshHost(store, BOOT);
  const half = BOOT.slice(0, 130);
  for (const left of [30, 30, 0]) {
    const world = await freshHost(store, 'auto');
    const image = await imageOf(world);
    const head = (await image.head())!;
    await head.expose(NODE);
    await waitFor('the profile is replayed', () => world.mirror.statistics().fetchedChunks === BOOT.length);
    for (const chunk of half) await head.read(chunk * CHUNK, 1);
    expect((await image.status()).profile).toEqual({
      from: 'disk',
      prefetchedBytes: BOOT.length * CHUNK,
      unusedBytes: 30 * CHUNK,
      recording: true,
    });
    await head.conceal(NODE);
    await world.close();
    expect(chunksIn(await kept(store)).length).toBe(half.length + left);
  }
});

test('a look at an image is no boot, and neither is what a read-only mount, replay or off sees', async () => {
  const store = await storeWithImage();
  await bootOnFreshHost(store, BOOT.slice(0, 20));
  expect(await kept(store)).toBeNull();
  for (const [mode, readOnly] of [
    ['replay', false],
    ['off', false],
    ['auto', true],
  ] as const) {
    // prettier-ignore
    const world = await freshHost(store, mode, { readOnly });
    await boot(await (await imageOf(world)).snapshot(1), BOOT);
    await world.close();
  }
  expect(await kept(store)).toBeNull();
});

test('a look before the boot does not end its recording', async () => {
  const store = await storeWithImage();
  const world = await freshHost(store, 'auto');
  const head = (await (await imageOf(world)).head())!;
  await boot(head, [3]);
  await boot(head, BOOT);
  await world.close();
  expect(chunksIn(await kept(store))).toEqual([3, ...BOOT.filter((chunk) => chunk !== 3)]);
});

test('a store that refuses the profile, or has a damaged one, hinders no boot; the next boot replaces it', async () => {
  const store = await storeWithImage();
  store.inject({ kind: 'fail-before' }, { operation: 'put', key: profileKey('disk'), times: Infinity });
  await bootOnFreshHost(store, BOOT);
  expect(await kept(store)).toBeNull();
  store.clearFaults();
  await store.put(profileKey('disk'), Buffer.from('no profile'));
  await bootOnFreshHost(store, BOOT);
  expect(chunksIn(await kept(store))).toEqual(BOOT);
});

test('the profile of another image of the same name does not count, nor do ranges beyond the image', async () => {
  const store = await storeWithImage();
  const ranges = [{ offsetBytes: 100_000 * CHUNK, lengthBytes: CHUNK, unusedBoots: 0 }];
  const profile = { formatVersion: 1, imageId: 'd'.repeat(32), timeMs: 1, boots: 1, ranges } as const;
  await writeProfile(store, 'disk', profile);
  const stranger = await freshHost(store, 'replay');
  const disk = await (await imageOf(stranger)).snapshot(1);
  store.resetCounts();
  await disk.expose(NODE);
  await store.until(() => store.calls.some(({ key }) => key === profileKey('disk')));
  await disk.conceal(NODE);
  await stranger.close();
  expect(stranger.mirror.statistics().fetchedChunks).toBe(0);
  const world = await freshHost(store, 'replay');
  const image = await imageOf(world);
  await writeProfile(store, 'disk', { ...profile, imageId: image.id });
  const head = (await image.head())!;
  await head.expose(NODE);
  await waitFor('it was found', async () => (await image.status()).profile?.from === 'disk');
  await head.conceal(NODE);
  expect((await image.status()).profile).toMatchObject({ prefetchedBytes: 0 });
  await world.close();
});

test('record keeps what was read so far whatever there was, and drop takes the profile away', async () => {
  const store = await storeWithImage();
  const world = await freshHost(store, 'off');
  const image = await imageOf(world);
  expect(await codeOf(image.recordProfile())).toBe('CONFLICT');
  await boot((await image.head())!, [5, 2]);
  expect(chunksIn(await image.recordProfile())).toEqual([5, 2]);
  expect(chunksIn(await image.profile())).toEqual([5, 2]);
  await image.dropProfile();
  expect(await image.profile()).toBeNull();
  await world.close();
});

test('a recording goes on until it is quiet after a boot, too long, or too much', () => {
  const MIB = 1024 * 1024;
  expect(decideRecording({ touchedBytes: 9 * MIB, ageMs: 60_000, quietMs: 14_000 })).toBe('go on');
  expect(decideRecording({ touchedBytes: 9 * MIB, ageMs: 60_000, quietMs: 15_000 })).toBe('end');
  expect(decideRecording({ touchedBytes: MIB, ageMs: 60_000, quietMs: 50_000 })).toBe('go on');
  expect(decideRecording({ touchedBytes: MIB, ageMs: 180_000, quietMs: 0 })).toBe('end');
  expect(decideRecording({ touchedBytes: 1025 * MIB, ageMs: 1000, quietMs: 0 })).toBe('end');
});

test('hydrate makes head or snapshot local, knows what is here already, and refuses what the cache cannot hold', async () => {
  const store = await storeWithImage();
  const world = await freshHost(store, 'off');
  const image = await imageOf(world);
  await (await image.head())!.read(0, 1);
  expect(await image.hydrate()).toMatchObject({ image: 'disk', localBytes: CHUNKS * CHUNK, fetchedBytes: 319 * CHUNK });
  expect(await image.status()).toMatchObject({ needsStore: false, missingBytes: 0, hydrating: null });
  store.resetCounts();
  expect(await image.hydrate(1)).toMatchObject({ fetchedBytes: 0 });
  expect(store.counts.get.requests).toBe(0);
  expect(await codeOf(image.hydrate(9))).toBe('NOT_FOUND');
  await world.close();

  const small = await ImageWorld.open(temporaryFolder('small'), { store, quotaBytes: 10 * CHUNK });
  expect(await codeOf((await imageOf(small)).hydrate())).toBe('NO_SPACE');
  expect(small.mirror.statistics().fetchedChunks).toBe(0);
  await small.close();
});

test('a hydration that is under way ends with the catalogue, and a second one of the image is BUSY', async () => {
  const store = await storeWithImage();
  const world = await freshHost(store, 'off');
  const image = await imageOf(world);
  store.inject({ kind: 'stall' }, { operation: 'get', key: /^segments/, times: Infinity });
  const hydrating = codeOf(image.hydrate());
  await store.until(() => store.stalledCalls > 0);
  expect(await codeOf(image.hydrate())).toBe('BUSY');
  const closed = world.catalogue.close(1000);
  expect(await hydrating).toBe('ABORTED');
  await closed;
  store.releaseStalled();
  store.clearFaults();
  await world.mirror.close();
});

test('the rest of an image is filled some time after its profile has come, not beside it', async () => {
  const store = await storeWithImage();
  await bootOnFreshHost(store, BOOT);
  const world = await freshHost(store, 'replay', { fill: 'idle' });
  const image = await imageOf(world);
  const head = (await image.head())!;
  await head.expose(NODE);
  const fetched = (): number => world.mirror.statistics().fetchedChunks;
  await waitFor('the chunks of the profile are here', () => fetched() >= BOOT.length, { intervalMs: 5 });
  await passed(300);
  expect(fetched()).toBe(BOOT.length);
  await waitFor('the rest is here', async () => !(await image.status()).needsStore);
  expect(fetched()).toBe(CHUNKS);
  await head.conceal(NODE);
  await world.close();
});

test('the profile is on its way while an open for writing waits for the lock', async () => {
  const store = await storeWithImage();
  await bootOnFreshHost(store, BOOT);
  const world = await freshHost(store, 'replay');
  const head = (await (await imageOf(world)).head())!;
  store.resetCounts();
  store.inject({ kind: 'stall' }, { operation: 'put', key: 'images/disk/writer.json' });
  const opening = head.openForWriting();
  await store.until(() => store.stalledCalls === 1 && store.calls.some(({ key }) => key === profileKey('disk')));
  await waitFor('the chunks of the profile are here', () => world.mirror.statistics().fetchedChunks === BOOT.length);
  store.releaseStalled();
  await opening;
  await head.expose(NODE);
  await boot(head, BOOT);
  expect(world.mirror.statistics().fetchedChunks).toBe(BOOT.length);
  expect(store.calls.filter(({ key }) => key === profileKey('disk'))).toHaveLength(1);
  await head.conceal(NODE);
  head.closeForWriting();
  await world.close();
});

test('an open for writing that is refused ends what it has begun', async () => {
  const store = await storeWithImage();
  await bootOnFreshHost(store, BOOT);
  const writer = await freshHost(store, 'off');
  await writer.openHead('disk');
  const world = await freshHost(store, 'replay');
  const image = await imageOf(world);
  const head = (await image.head())!;
  expect(await codeOf(head.openForWriting())).toBe('LOCKED');
  expect((await image.status()).fill).toBe('off');
  store.resetCounts();
  await head.expose(NODE);
  await waitFor('the profile is asked for anew', () => store.calls.some(({ key }) => key === profileKey('disk')));
  await head.conceal(NODE);
  await world.close();
  await writer.close();
});
