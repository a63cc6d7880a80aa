/** Snapshots kept as flat files: whole or not there, dropped safely, never taken for another content. */
import { expect, test } from '@jest/globals';
import { fstatSync, readSync } from 'node:fs';
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Disk } from '../../lib/image/api.js';
import { FlatFiles } from '../../lib/image/flat-files.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { descriptorsUnder } from '../helpers/descriptors.js';
import { CHUNK, codeOf, ImageWorld, shut, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

/** A snapshot of three chunks of data, a hole of 40, and a bit at the end that is no whole chunk. */
async function someSnapshot(): Promise<{ world: ImageWorld; disk: Disk }> {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 7, 3);
  const head = await world.openHead('disk');
  await head.truncate(43 * CHUNK + 1000);
  await head.write(43 * CHUNK + 10, Buffer.from('the end'));
  const image = (await world.catalogue.find('disk'))!;
  const { number } = await image.commit({});
  shut(head);
  return { world, disk: await image.snapshot(number) };
}

test('a flat file is byte for byte the snapshot, as sparse as its chunks, and held until it is let go', async () => {
  const { world, disk } = await someSnapshot();
  const folder = temporaryFolder('flat');
  const flats = await FlatFiles.open(folder);
  expect(await flats.hold(disk.contentId, disk.sizeBytes())).toBeUndefined();

  const made = await flats.make(disk);
  expect(made).toEqual({ sizeBytes: 43 * CHUNK + 1000, dataBytes: 3 * CHUNK + 1000 });
  const [name] = await readdir(folder);
  const path = join(folder, name!);
  const whole = Buffer.from(await disk.read(0, disk.sizeBytes()));
  expect(whole.equals(await readFile(path))).toBe(true);
  expect((await stat(path)).blocks * 512).toBeLessThan(5 * CHUNK);

  const descriptor = (await flats.hold(disk.contentId, disk.sizeBytes()))!;
  const tail = Buffer.alloc(7);
  readSync(descriptor, tail, 0, 7, 43 * CHUNK + 10);
  expect(tail.toString()).toBe('the end');
  expect(descriptorsUnder(folder)).toHaveLength(1);
  flats.letGo(disk.contentId);
  expect(descriptorsUnder(folder)).toEqual([]);
  await flats.close();
  await world.close();
});

test('two that make the same one at once share the work', async () => {
  const { world, disk } = await someSnapshot();
  const flats = await FlatFiles.open(temporaryFolder('flat'));
  let reads = 0;
  const counted = {
    contentId: disk.contentId,
    sizeBytes: () => disk.sizeBytes(),
    seek: disk.seek.bind(disk),
    read: (offset: number, lengthBytes: number) => {
      reads++;
      return disk.read(offset, lengthBytes);
    },
  };
  await Promise.all([flats.make(counted), flats.make(counted)]);
  // Two stretches of data, each less than a piece.
  expect(reads).toBe(2);
  await flats.close();
  await world.close();
});

test('one that is dropped is gone for those who come, and stays for those who hold it', async () => {
  const { world, disk } = await someSnapshot();
  const folder = temporaryFolder('flat');
  const flats = await FlatFiles.open(folder);
  await flats.make(disk);
  const descriptor = (await flats.hold(disk.contentId, disk.sizeBytes()))!;
  expect(await flats.drop(disk.contentId)).toBe(true);
  expect(await readdir(folder)).toEqual([]);
  expect(await flats.hold(disk.contentId, disk.sizeBytes())).toBeUndefined();
  expect(fstatSync(descriptor).size).toBe(disk.sizeBytes());
  expect(descriptorsUnder(folder)).toHaveLength(1);
  flats.letGo(disk.contentId);
  expect(descriptorsUnder(folder)).toEqual([]);
  expect(await flats.drop(disk.contentId)).toBe(false);
  await flats.close();
  await world.close();
});

test('one that was cut off in the making is not there at the next start; one that is whole is', async () => {
  const { world, disk } = await someSnapshot();
  const folder = temporaryFolder('flat');
  const first = await FlatFiles.open(folder);
  await first.make(disk);
  await first.close();
  await writeFile(join(folder, 'snapshot-x.raw.unfinished'), 'half');
  const second = await FlatFiles.open(folder);
  expect(await readdir(folder)).toHaveLength(1);
  expect(await second.hold(disk.contentId, disk.sizeBytes())).toBeDefined();
  await second.close();
  await world.close();
});

test('one that does not have the size of the snapshot is not used, and removed', async () => {
  const { world, disk } = await someSnapshot();
  const folder = temporaryFolder('flat');
  const flats = await FlatFiles.open(folder);
  await flats.make(disk);
  await truncate(join(folder, (await readdir(folder))[0]!), CHUNK);
  expect(await flats.hold(disk.contentId, disk.sizeBytes())).toBeUndefined();
  expect(await readdir(folder)).toEqual([]);
  await flats.close();
  await world.close();
});

test('when reading fails nothing is left behind, and it can be made later', async () => {
  const { world, disk } = await someSnapshot();
  const folder = temporaryFolder('flat');
  const flats = await FlatFiles.open(folder);
  const away = new AbortController();
  away.abort();
  expect(await codeOf(flats.make(disk, away.signal))).toBe('ABORTED');
  expect(await readdir(folder)).toEqual([]);
  expect((await flats.make(disk)).sizeBytes).toBe(disk.sizeBytes());
  await flats.close();
  await world.close();
});
