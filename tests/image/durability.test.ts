/** What survives what: the death of the daemon, the death of the host, a full local disk. */
import { describe, expect, test } from '@jest/globals';
import { readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import type { Head } from '../../lib/image/api.js';
import { NO_CUT } from '../../lib/image/plane.js';
import { encodeSideHeader } from '../../lib/image/side-file.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { mount, umount2 } from '../../lib/util/syscalls.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { CHUNK, ImageWorld } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

const BLOCK = 4096;

async function worldWithImage(directory: string, chunks: number): Promise<{ world: ImageWorld; head: Head }> {
  const world = await ImageWorld.open(directory);
  await (await world.catalogue.create('disk')).createHead();
  const head = await world.openHead('disk');
  for (let chunk = 0; chunk < chunks; chunk++) await head.write(chunk * CHUNK, Buffer.alloc(CHUNK, 1 + chunk));
  await (await world.catalogue.find('disk'))!.commit({});
  return { world, head };
}

const isDurableMap = (name: string): boolean => name.endsWith('.durable');

async function byteAt(head: Head, offset: number): Promise<number | undefined> {
  return (await head.read(offset, 1))[0];
}

// S19
test('the death of the daemon loses no write that has returned, synced or not', async () => {
  const { world, head } = await worldWithImage(temporaryFolder('durability'), 2);
  await head.write(0, Buffer.alloc(BLOCK, 50));
  await head.fsync();
  await head.write(0, Buffer.alloc(BLOCK, 51));
  await head.write(BLOCK + 100, Buffer.alloc(300, 52));
  await head.punch(CHUNK, BLOCK);
  await head.truncate(2 * CHUNK + 1000);
  await world.crash();
  const again = await world.openHead('disk');
  expect(await byteAt(again, 0)).toBe(51);
  expect(await byteAt(again, BLOCK + 99)).toBe(1);
  expect(await byteAt(again, BLOCK + 100)).toBe(52);
  expect(await byteAt(again, CHUNK)).toBe(0);
  expect(again.sizeBytes()).toBe(2 * CHUNK + 1000);
  await world.close();
});

test('the files of committed layers go, and those of the newest layer stay', async () => {
  const directory = temporaryFolder('durability');
  const { world, head } = await worldWithImage(directory, 2);
  const image = (await world.catalogue.find('disk'))!;
  for (let commit = 0; commit < 3; commit++) {
    await head.write(0, Buffer.alloc(BLOCK, 70 + commit));
    await image.commit({});
  }
  expect(await byteAt(head, 0)).toBe(72);
  const dataFiles = (): string[] =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.data'));
  await waitFor('one data file is left', () => dataFiles().length === 1);
  const newest = dataFiles();
  await world.close();
  expect(dataFiles()).toEqual(newest);
});

// S20
test('the death of the host loses nothing that an fsync covered, and shows no byte that was never written', async () => {
  const { world, head } = await worldWithImage(temporaryFolder('durability'), 2);
  await head.write(0, Buffer.alloc(BLOCK, 60));
  await head.punch(4 * BLOCK, BLOCK);
  await head.truncate(2 * CHUNK - BLOCK);
  await head.fsync();
  await head.write(BLOCK, Buffer.alloc(BLOCK, 61));
  await head.punch(CHUNK, BLOCK);
  await head.truncate(3 * CHUNK);
  await head.write(2 * CHUNK, Buffer.alloc(BLOCK, 62));
  await world.crash({ newBoot: true });
  const again = await world.openHead('disk');
  expect(await byteAt(again, 0)).toBe(60);
  expect(await byteAt(again, 4 * BLOCK)).toBe(0);
  // What no fsync covered is gone: the durable map is the truth now.
  expect(again.sizeBytes()).toBe(2 * CHUNK - BLOCK);
  expect(await byteAt(again, BLOCK)).toBe(1);
  expect(await byteAt(again, CHUNK)).toBe(2);
  // The bytes of the lost write lie in the data file still; growing over them must not bring them back.
  await again.truncate(3 * CHUNK);
  expect(await byteAt(again, 2 * CHUNK)).toBe(0);
  await again.write(2 * CHUNK + 512, Buffer.alloc(512, 63));
  expect(await byteAt(again, 2 * CHUNK)).toBe(0);
  expect(await byteAt(again, 2 * CHUNK + 512)).toBe(63);
  await world.close();
});

// S20, S23: found by tests/power, seed 31
test('writes whose size was lost with the host do not show when the disk grows again', async () => {
  const directory = temporaryFolder('durability');
  const { world, head } = await worldWithImage(directory, 2);
  await head.write(2 * CHUNK, Buffer.alloc(8 * BLOCK, 64));
  await head.fsync();
  // States and data of a later round had reached the disk, the size that goes with them had not.
  // Files of the layer that was committed before go behind that commit's answer.
  const name = await waitFor('one layer is left', () => {
    const maps = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter(isDurableMap);
    return maps.length === 1 ? maps[0] : undefined;
  });
  const path = join(directory, name);
  const id = basename(path, '.durable');
  const sizeBytes = 2 * CHUNK + 2 * BLOCK + 100;
  writeFileSync(path, encodeSideHeader(id, { sizeBytes, cutBlock: NO_CUT }), { flag: 'r+' });
  await world.crash({ newBoot: true });
  const again = await world.openHead('disk');
  expect(again.sizeBytes()).toBe(sizeBytes);
  await again.truncate(3 * CHUNK);
  await again.fsync();
  for (const newBoot of [false, true]) {
    await world.crash({ newBoot });
    const grown = await world.openHead('disk');
    expect(await byteAt(grown, sizeBytes - 1)).toBe(64);
    const behind = Buffer.from(await grown.read(sizeBytes, 3 * CHUNK - sizeBytes));
    expect(behind.equals(Buffer.alloc(behind.length))).toBe(true);
  }
  await world.close();
});

// S20
test('an orderly end before the death of the host keeps every write', async () => {
  const { world, head } = await worldWithImage(temporaryFolder('durability'), 1);
  await head.write(0, Buffer.alloc(BLOCK, 70));
  await head.truncate(5 * CHUNK);
  await world.reopen({ newBoot: true });
  const again = await world.openHead('disk');
  expect(await byteAt(again, 0)).toBe(70);
  expect(again.sizeBytes()).toBe(5 * CHUNK);
  await world.close();
});

// A file system of its own needs root.
(process.getuid?.() === 0 ? describe : describe.skip)('a full local disk', () => {
  // S26
  test('takes room from the mirror first, then refuses the write and keeps all that was written', async () => {
    const directory = temporaryFolder('full');
    mount('tmpfs', directory, 'tmpfs', 0, 'size=24m,mode=0700');
    undoLater(() => {
      umount2(directory, 0);
      rmdirSync(directory);
    });
    const { world, head } = await worldWithImage(directory, 64);
    for (let chunk = 0; chunk < 64; chunk++) expect(await byteAt(head, chunk * CHUNK)).toBe(1 + chunk);
    const before = world.mirror.statistics().evictedChunks;
    let written = 0;
    let refused: unknown;
    while (refused === undefined && written < 1024) {
      await head.write((64 + written) * CHUNK, Buffer.alloc(CHUNK, 200)).catch((error: unknown) => (refused = error));
      if (refused === undefined) written++;
    }
    expect(refused).toBeInstanceOf(LazydiskError);
    expect(refused).toMatchObject({ code: 'NO_SPACE' });
    expect(world.mirror.statistics().evictedChunks).toBeGreaterThan(before);
    expect(written * CHUNK).toBeGreaterThan(10 * 1024 * 1024);
    for (let chunk = 0; chunk < written; chunk++) expect(await byteAt(head, (64 + chunk) * CHUNK)).toBe(200);
    // Reads that can't be kept are answered all the same.
    for (let chunk = 0; chunk < 64; chunk++) expect(await byteAt(head, chunk * CHUNK)).toBe(1 + chunk);
    // Space freed, it goes on.
    await head.punch(64 * CHUNK, 8 * CHUNK);
    await head.write(0, Buffer.alloc(BLOCK, 201));
    expect(await byteAt(head, 0)).toBe(201);
    await world.close();
  });
});
