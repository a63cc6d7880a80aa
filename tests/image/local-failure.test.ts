/** The local disk fails to give chunks of a base: here the slot file is cut, which a reader takes for a failed disk. */
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

import { cleanUpAfter } from '../helpers/cleanup.js';
import { CHUNK, ImageWorld, shut } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const CHUNKS = 8;

/** A host with a head over a committed image whose chunks are all local, and where their slots are. */
async function host() {
  const folder = temporaryFolder('host');
  const world = await ImageWorld.open(folder);
  await (await world.catalogue.create('disk')).createHead();
  const head = await world.openHead('disk');
  for (let chunk = 0; chunk < CHUNKS; chunk++) await head.write(chunk * CHUNK, Buffer.alloc(CHUNK, chunk + 1));
  await (await world.catalogue.find('disk'))!.commit({});
  expect(await head.read(0, 1)).toEqual(Buffer.of(1));
  const slotFile = join(folder, 'mirror', `slots-${String(CHUNK)}`);
  return { world, head, slotFile, gets: () => world.mirror.statistics().fetchedChunks };
}

// S14
test('EIO of a local chunk is told once, then the chunk is fetched anew into another slot', async () => {
  const { world, head, slotFile, gets } = await host();
  for (let chunk = 0; chunk < CHUNKS; chunk++) await head.read(chunk * CHUNK, 1);
  const before = gets();
  truncateSync(slotFile, 0);
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    await expect(head.read(chunk * CHUNK, 10)).rejects.toMatchObject({ code: 'EIO' });
  }
  expect(gets()).toBe(before);
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    expect(await head.read(chunk * CHUNK, CHUNK)).toEqual(Buffer.alloc(CHUNK, chunk + 1));
  }
  expect(gets()).toBe(before + CHUNKS);
  shut(head);
  await world.close();
});

// S14
test('a write of a part of a block, and a commit, that need such a chunk fail once, and lose nothing', async () => {
  const { world, head, slotFile } = await host();
  truncateSync(slotFile, 0);
  await expect(head.write(100, Buffer.from('new'))).rejects.toMatchObject({ code: 'EIO' });
  await head.write(3 * CHUNK, Buffer.alloc(4096, 77));
  const image = (await world.catalogue.find('disk'))!;
  await expect(image.commit({})).rejects.toThrow();
  await head.write(100, Buffer.from('new'));
  await image.commit({});
  const expected = Buffer.alloc(CHUNK, 1);
  expected.write('new', 100);
  expect(await head.read(0, CHUNK)).toEqual(expected);
  expect((await head.read(3 * CHUNK, 4097))[4096]).toBe(4);
  shut(head);
  await world.close();
});
