import { beforeEach, expect, test } from '@jest/globals';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { copiedFixture, type VerbWorld } from '../helpers/verbs.js';

cleanUpAfter('each');

let world: VerbWorld;
beforeEach(() => {
  world = copiedFixture();
});

// S62
test('of a repository it tells id, features, and what there is', async () => {
  const { url, folder, json, text } = world;
  const segments = join(folder, 'repository', 'segments');
  const names = await readdir(segments);
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(segments, name))).size));
  const segmentBytes = sizes.reduce((total, size) => total + size, 0);
  await text('tag', url, 'vm-01', 'stable');
  expect(await json('info', url)).toEqual({
    location: url,
    repositoryId: 'dd47b811f39d295ab9d6c189f2843cc0',
    formatVersion: 1,
    requires: [],
    allows: [],
    defaultChunkSizeBytes: 65_536,
    images: 3,
    snapshots: 8,
    deletedSnapshots: 1,
    tags: 1,
    locks: 1,
    segments: names.length,
    segmentBytes,
  });
  expect(await text('info', url)).toMatch(
    /^repository: .*\nid: +dd47b811f39d295ab9d6c189f2843cc0\n(.*\n)*images: +3, being written: 1\n/,
  );
});

test('of a snapshot it tells what its record, tags and lock say, and with --stored what its chunks take', async () => {
  const { url, json, text } = world;
  await text('tag', url, 'debian-12@4', 'stable');
  const record = await (await world.repository()).readRecord('debian-12', 4);
  const facts = {
    image: 'debian-12',
    number: 4,
    sizeBytes: record.sizeBytes,
    allocatedBytes: 196_608,
    commitId: record.commitId,
    parent: record.parent,
    label: 'shrunk inside a chunk',
    tags: ['stable'],
    isNewest: false,
    lock: null,
    profile: null,
    snapshots: [1, 2, 4, 5],
  };
  expect(await json('info', url, 'debian-12:stable')).toMatchObject({ ...facts, stored: null });
  expect(await json('info', url, 'debian-12@4', '--stored')).toMatchObject({
    ...facts,
    stored: { chunks: 3, bytes: 196_608 },
  });
  expect(await text('info', url, 'vm-01')).toMatch(
    /^snapshot: +vm-01@2, the newest of 1-2\n(.*\n)*made from: +vm-01@1\n(.*\n)*being written: +by .* \(pid \d+\)\n/,
  );
  expect(await text('info', url, 'debian-12')).toContain('debian-12@5, the newest of 1-2, 4-5\n');
});

test('of what is not there it says so', async () => {
  const { url, run } = world;
  expect((await run('info', url, 'debian-12@3')).status).toBe(3);
  expect((await run('info', url, 'other')).status).toBe(3);
  expect((await run('info', url, '--stored')).status).toBe(2);
});
