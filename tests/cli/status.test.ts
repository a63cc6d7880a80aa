import { expect, test } from '@jest/globals';
import type { ImageStatusDocument } from '../../mount/tree/status-schema.js';
import { imageText, mountText } from '../../mount/cli/status-text.js';
import { FakeCatalogue } from '../helpers/fake-catalogue.js';
import { treeFixture } from '../helpers/tree-fixture.js';

test('the status of a mount is its facts, with units, and then one line for each image', async () => {
  const fixture = await treeFixture();
  fixture.catalogue.image('vm').publish(Buffer.alloc(2048));
  fixture.catalogue.image('empty');
  const text = mountText(await fixture.tree.status());
  expect(text).toMatch(/^health: +ok$/m);
  expect(text).toMatch(/^daemon: +pid \d+ since .*, \d+ workers?, driver kernel$/m);
  expect(text).toMatch(/^not committed: +nothing$/m);
  expect(text).toMatch(/^fetched: +500 B: /m);
  const [, images = ''] = text.split('\n\n');
  const lines = images.split('\n').map((line) => line.split(/  +/));
  expect(lines).toEqual([
    ['IMAGE', 'HEALTH', 'SIZE', 'BASE', 'DIRTY', 'LOCAL', 'OPEN', 'LOCK', 'NOTE'],
    ['empty', 'ok', '0 B', '-', '0 B', '0 B', '0', '-'],
    ['vm', 'ok', '2 KiB', '@1', '0 B', expect.any(String), '0', '-'],
  ]);
});

test('a mount whose store is away says since when nothing was heard of it, and for how long reads wait', async () => {
  const fixture = await treeFixture();
  fixture.catalogue.currentHealth = 'offline';
  const status = await fixture.tree.status();
  expect(mountText(status)).toMatch(/, 8 waiting now$/m);
  expect(mountText({ ...status, longestWaitingReadMs: 44_000 })).toMatch(/, 8 waiting now, the longest for 44.0 s$/m);
  const answered = { ...status, lastStoreAnswerMs: Date.parse('2026-03-01T17:04:05') };
  expect(mountText(answered)).toMatch(/^health: +offline: the store answered last at 2026-03-01 17:04:05$/m);
  const never = { ...status, lastStoreAnswerMs: null };
  expect(mountText(never)).toMatch(/^health: +offline: the store answered last before this daemon began$/m);
});

test('a mount without images has its facts alone', async () => {
  const fixture = await treeFixture({ catalogue: new FakeCatalogue() });
  expect(mountText(await fixture.tree.status())).not.toContain('IMAGE');
});

const IMAGE: ImageStatusDocument = {
  schemaVersion: 1,
  image: 'vm',
  imageId: '14e2ff9e02f4558d7a1bde4c27eaee9a',
  sizeBytes: 64 * 1024 * 1024,
  baseNumber: 3,
  localCloneOf: null,
  health: 'ok',
  localBytes: 1024 * 1024,
  missingBytes: 0,
  needsStore: false,
  fill: 'complete',
  profile: { from: 'debian', prefetchedBytes: 8192, unusedBytes: 4096, recording: true },
  hydrating: null,
  dirtyBytes: 4096,
  layerAllocatedBytes: 8192,
  layers: 2,
  oldestUncommittedMs: Date.parse('2026-03-01T17:04:05'),
  openCount: 1,
  committing: true,
  failure: null,
  lock: {
    formatVersion: 1,
    imageId: '14e2ff9e02f4558d7a1bde4c27eaee9a',
    stateId: 'b5184b85b668d61797929746b34342ae',
    host: 'blade-7',
    pid: 42,
    timeMs: Date.parse('2026-03-01T17:00:00'),
    base: null,
  },
  lockIsOurs: true,
  running: [{ id: '1f-1', command: 'commit vm', image: 'vm', startedAt: new Date(2026, 2, 1, 17, 5).toISOString() }],
};

test('the status of an image says what is only here, what is missing, and who may write', () => {
  expect(imageText(IMAGE).split('\n')).toEqual([
    'image:         vm, 64 MiB',
    'health:        ok',
    'stands on:     vm@3',
    'open:          1 time',
    'not committed: 4 KiB, 8 KiB of disk, the oldest since 2026-03-01 17:04:05; a commit is running',
    'layers:        2',
    'here:          1 MiB, all of it; needs the store no more',
    'fill:          complete',
    'boot profile:  that of debian brought 8 KiB, 4 KiB of it not read; this boot is being recorded',
    'lock:          ours since 2026-03-01 17:00:00',
    'image id:      14e2ff9e02f4558d7a1bde4c27eaee9a',
    'running:       commit vm since 2026-03-01 17:05:00 (id 1f-1)',
  ]);
});

test('a clone that only this host knows, a disk that has failed, and a lock of another host are told', () => {
  const lines = imageText({
    ...IMAGE,
    baseNumber: null,
    localCloneOf: { image: 'debian', number: 2 },
    failure: 'The local disk has failed.',
    missingBytes: 2 * 1024 * 1024,
    needsStore: true,
    dirtyBytes: 0,
    layerAllocatedBytes: 0,
    oldestUncommittedMs: null,
    committing: false,
    lockIsOurs: false,
  }).split('\n');
  expect(lines).toEqual(
    expect.arrayContaining([
      'health:        The local disk has failed.',
      'stands on:     debian@2, on this host only until the first commit',
      'not committed: nothing',
      'here:          1 MiB, 2 MiB not yet',
      'lock:          held by blade-7 (pid 42) since 2026-03-01 17:00:00',
    ]),
  );
});
