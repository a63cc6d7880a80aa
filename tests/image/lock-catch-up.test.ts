/** The lock names the base that its head stands on, also after a kill or an outage between the two. */
import { expect, test } from '@jest/globals';

import { LazydiskError } from '../../lib/util/errors.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { CHUNK, codeOf, ImageWorld, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const LOCK = /writer\.json$/;

/** A host that has died when disk@2 was published and its record said so, and the lock still named disk@1. */
async function hostThatIsBehind(): Promise<ImageWorld> {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(CHUNK, 2));
  const killed = new LazydiskError('REFUSED', 'killed here');
  world.store.inject({ kind: 'fail-before', error: killed }, { operation: 'put', key: LOCK });
  expect(await (await world.catalogue.find('disk'))!.commit({})).toMatchObject({ number: 2 });
  expect(await lockedBase(world)).toBe(1);
  await world.die();
  world.store.resetCounts();
  return world;
}

async function lockedBase(world: ImageWorld): Promise<number | undefined> {
  return (await world.repository.readLock('disk'))?.base?.number;
}

/** Requests that had the lock's key, as their operations. */
function asked(world: ImageWorld): string[] {
  return world.store.calls.filter(({ key }) => LOCK.test(key)).map(({ operation }) => operation);
}

/** Nothing else is put since the counts began. */
async function untilTold(world: ImageWorld): Promise<void> {
  await world.store.until(() => world.store.counts.put.bytes > 0);
}

// S34
test('after a kill, the next start says on the lock where the head stands, and another host deletes the right snapshot', async () => {
  const world = await hostThatIsBehind();
  await world.start();
  await untilTold(world);
  expect(asked(world)).toEqual(['get', 'get', 'put']);
  expect(await lockedBase(world)).toBe(2);
  expect(await codeOf(world.repository.deleteSnapshot('disk', 2))).toBe('LOCKED');
  await world.repository.deleteSnapshot('disk', 1);
  await world.close();
});

// S34
test('neither the start nor an open waits for the look at the lock', async () => {
  const world = await hostThatIsBehind();
  world.store.inject({ kind: 'stall' }, { operation: 'get', key: LOCK });
  await world.start();
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(CHUNK, 3));
  expect(world.store.stalledCalls).toBe(1);
  expect(await lockedBase(world)).toBe(1);
  world.store.releaseStalled();
  await untilTold(world);
  expect(await lockedBase(world)).toBe(2);
  await world.close();
});

// S34
test('a store that is away at the start is asked again when it is back', async () => {
  const world = await hostThatIsBehind();
  world.store.setOutage(true);
  await world.start();
  await world.store.until(() => asked(world).length === 1);
  world.store.setOutage(false);
  await untilTold(world);
  expect(await lockedBase(world)).toBe(2);
  await world.close();
});

// S34
test('a commit whose word to the lock the store did not take gives it again by itself', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(CHUNK, 2));
  world.store.inject({ kind: 'fail-before' }, { operation: 'put', key: LOCK });
  await (await world.catalogue.find('disk'))!.commit({});
  expect(await lockedBase(world)).toBe(1);
  world.store.resetCounts();
  await untilTold(world);
  expect(await lockedBase(world)).toBe(2);
  await world.close();
});

test('a lock that is right is looked at once; one that was taken away, or that another host has, stays as it is', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const holders = { us: 'a'.repeat(32), nobody: undefined, another: 'b'.repeat(32) };
  for (const holder of ['us', 'nobody', 'another'] as const) {
    await world.die();
    if (holder !== 'us') await world.repository.releaseLock('disk', undefined);
    const stolen = { formatVersion: 1 as const, imageId: 'c'.repeat(32), host: 'other', pid: 1, timeMs: 0, base: null };
    if (holder === 'another') await world.repository.takeLock('disk', { ...stolen, stateId: 'b'.repeat(32) });
    world.store.resetCounts();
    await world.start();
    await world.store.until(() => asked(world).length > 0);
    // This store answers within a turn: what came of the answer would be there.
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect({ holder, asked: asked(world) }).toEqual({ holder, asked: ['get'] });
    expect((await world.repository.readLock('disk'))?.stateId).toBe(holders[holder]);
  }
  await world.die();
});
