/** Who may write is told by the state directory alone; of those who publish all the same, one wins and nobody loses anything. */
import { expect, test } from '@jest/globals';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { writerKey } from '../../lib/format/keys.js';
import { decodeWriterLock, encodeWriterLock } from '../../lib/format/writer-lock.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { codeOf, ImageWorld, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const OTHER = 'b'.repeat(32);

/** As if the host that took the lock had had another name. */
async function renameHolder(world: ImageWorld, host: string): Promise<void> {
  const key = writerKey('disk');
  const lock = decodeWriterLock(await world.store.get(key), key);
  await world.store.put(key, encodeWriterLock({ ...lock, host, pid: 1 }, key));
}

/** As if the daemon had been killed between taking the lock and noting that it has it. */
function forgetLock(directory: string): void {
  const [name] = readdirSync(join(directory, 'heads'));
  const path = join(directory, 'heads', name!, 'head.json');
  const record = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...record, lockHeld: false }));
}

// S17
test('after a reboot, under another host name, a state directory still has its lock', async () => {
  const directory = temporaryFolder('world');
  const world = await ImageWorld.open(directory);
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 2));
  await head.fsync();
  await world.die();
  await renameHolder(world, 'named-otherwise');
  forgetLock(directory);
  const again = await ImageWorld.open(directory, { store: world.store, boot: 1 });
  const writable = await again.openHead('disk');
  expect((await writable.read(0, 1))[0]).toBe(2);
  expect(await (await again.catalogue.find('disk'))!.commit({})).toMatchObject({ number: 2 });
  expect(await again.repository.readLock('disk')).toMatchObject({ base: { number: 2 } });
  await again.close();
});

// S17
test('a second state directory is another host, also on the same machine and under the same name', async () => {
  const world = await ImageWorld.open(temporaryFolder('one'));
  await withImage(world, 1);
  await world.openHead('disk');
  const other = await ImageWorld.open(temporaryFolder('two'), { store: world.store, stateId: OTHER });
  expect(await codeOf(other.openHead('disk'))).toBe('LOCKED');
  await other.close();
  await world.close();
});

// S29
test('of two hosts that publish one number at the same moment exactly one succeeds, and the other keeps its changes', async () => {
  const world = await ImageWorld.open(temporaryFolder('one'));
  await withImage(world, 1);
  const ours = await world.openHead('disk');
  await world.repository.releaseLock('disk', undefined); // by force
  const other = await ImageWorld.open(temporaryFolder('two'), { store: world.store, stateId: OTHER });
  const theirs = await other.openHead('disk');
  await ours.write(0, Buffer.alloc(4096, 2));
  await theirs.write(0, Buffer.alloc(4096, 3));
  // Both have looked which number is next before either puts its record.
  const images = await Promise.all([world, other].map(async ({ catalogue }) => (await catalogue.find('disk'))!));
  let waiting = 0;
  let bothAreHere!: () => void;
  const together = new Promise<void>((resolve) => (bothAreHere = resolve));
  const put = world.store.put.bind(world.store);
  world.store.put = async (key, bytes, options) => {
    if (key.endsWith('snapshots/00000002.json')) {
      if (++waiting === 2) bothAreHere();
      await together;
    }
    return put(key, bytes, options);
  };
  const outcomes = await Promise.all(images.map((image) => codeOf(image.commit({}))));
  expect(waiting).toBe(2);
  expect([...outcomes].sort()).toEqual(['CONFLICT', 'undefined']);
  const fills = [2, 3];
  const loser = outcomes.indexOf('CONFLICT');
  expect(await images[loser]!.status()).toMatchObject({ baseNumber: 1, dirtyBytes: 4096 });
  expect((await [ours, theirs][loser]!.read(0, 1))[0]).toBe(fills[loser]);
  const published = await images[1 - loser]!.snapshot(2);
  expect((await published.read(0, 1))[0]).toBe(fills[1 - loser]);
  await expect(images[loser]!.commit({})).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringContaining('--as NEW-IMAGE') as unknown,
  });
  expect(await images[loser]!.commit({ as: 'saved' })).toMatchObject({ image: 'saved', number: 1 });
  await other.close();
  await world.close();
});
