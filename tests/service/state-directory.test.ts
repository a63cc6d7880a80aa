import { afterEach, beforeEach, expect, test } from '@jest/globals';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { RepositoryMarker } from '../../lib/format/marker.js';
import { currentBootId, TEST_BOOT_ID } from '../../mount/service/boot-id.js';
import {
  checkPlacement,
  defaultStateRoot,
  findStateDirectory,
  openStateDirectory,
  readStateDirectory,
  refreshStateDirectory,
  type RepositoryIdentity,
} from '../../mount/service/state-directory.js';

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync('/var/tmp/lazydisk-state-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function marker(repositoryId: string): RepositoryMarker {
  return { formatVersion: 1, repositoryId, requires: [], allows: [], defaultChunkSizeBytes: 262_144 };
}

function identity(changes: Partial<RepositoryIdentity> = {}): RepositoryIdentity {
  return {
    repositoryUrl: 's3://bucket/prefix',
    endpoint: 'http://127.0.0.1:9000',
    repositoryId: 'a'.repeat(32),
    marker: marker('a'.repeat(32)),
    ...changes,
  };
}

test('a new directory gets a random id, is entered by its owner alone, and is the same when opened again', async () => {
  const path = join(folder, 'deep', 'state');
  const made = await openStateDirectory(path, identity());
  expect(made.record).toMatchObject({ stateVersion: 1, ...identity() });
  expect(made.record.stateId).toMatch(/^[0-9a-f]{32}$/);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(path, 'state.json')).mode & 0o777).toBe(0o600);
  expect(await openStateDirectory(path, identity())).toEqual(made);
  expect(readdirSync(path)).toEqual(['state.json']);
});

test('of many starters at once all get the same identity', async () => {
  const path = join(folder, 'state');
  const opened = await Promise.all(Array.from({ length: 16 }, () => openStateDirectory(path, identity())));
  expect(new Set(opened.map(({ record }) => record.stateId)).size).toBe(1);
});

test('a directory of another repository is refused', async () => {
  await openStateDirectory(folder, identity());
  await expect(openStateDirectory(folder, identity({ repositoryId: 'b'.repeat(32) }))).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringContaining('--state'),
  });
});

test('a directory of a newer version is refused, a damaged one is named', async () => {
  writeFileSync(join(folder, 'state.json'), JSON.stringify({ stateVersion: 2 }));
  await expect(readStateDirectory(folder)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  await expect(openStateDirectory(folder, identity())).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  writeFileSync(join(folder, 'state.json'), '{"stateVersion": 1');
  await expect(readStateDirectory(folder)).rejects.toMatchObject({
    code: 'DAMAGED',
    message: expect.stringContaining(join(folder, 'state.json')),
  });
});

test('no directory, no record', async () => {
  expect(await readStateDirectory(join(folder, 'none'))).toBeUndefined();
  expect(await findStateDirectory(join(folder, 'none'), 's3://x', null)).toBeUndefined();
});

test('a directory is found by URL and endpoint while the store is away; damaged neighbours are passed over', async () => {
  const { record } = await openStateDirectory(join(folder, 'one'), identity());
  await openStateDirectory(join(folder, 'two'), identity({ endpoint: null, repositoryId: 'b'.repeat(32) }));
  mkdirSync(join(folder, 'three'));
  writeFileSync(join(folder, 'three', 'state.json'), 'garbage');
  const found = await findStateDirectory(folder, 's3://bucket/prefix', 'http://127.0.0.1:9000');
  expect(found).toEqual({ path: join(folder, 'one'), record });
  expect(await findStateDirectory(folder, 's3://bucket', 'http://127.0.0.1:9000')).toBeUndefined();
});

test('what is refreshed keeps the identity', async () => {
  const made = await openStateDirectory(folder, identity());
  const moved = await refreshStateDirectory(made, identity({ endpoint: null }));
  expect(moved.record.stateId).toBe(made.record.stateId);
  expect(JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8'))).toMatchObject({ endpoint: null });
  expect(await readStateDirectory(folder)).toEqual(moved);
});

test('a directory on the mount itself is refused, also through a link and before it exists', async () => {
  const mountpoint = join(folder, 'mnt');
  mkdirSync(mountpoint);
  symlinkSync(mountpoint, join(folder, 'link'));
  for (const path of [mountpoint, join(mountpoint, 'state'), join(folder, 'link', 'a', 'b')]) {
    await expect(checkPlacement(path, { mountpoint, force: true })).rejects.toMatchObject({ code: 'USAGE' });
  }
  expect(await checkPlacement(join(folder, 'mnt-state'), { mountpoint, force: false })).toBe(join(folder, 'mnt-state'));
});

test('a directory in memory needs --force', async () => {
  const path = '/dev/shm/lazydisk-test-state';
  await expect(checkPlacement(path, { mountpoint: '/mnt', force: false })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('--force'),
  });
  expect(await checkPlacement(path, { mountpoint: '/mnt', force: true })).toBe(path);
});

test('root keeps state in /var/lib, others where XDG says', () => {
  expect(defaultStateRoot(0, { XDG_STATE_HOME: '/x' })).toBe('/var/lib/lazydisk');
  expect(defaultStateRoot(1000, { XDG_STATE_HOME: '/x' })).toBe('/x/lazydisk');
  expect(defaultStateRoot(1000, { XDG_STATE_HOME: 'relative' })).toMatch(/\/\.local\/state\/lazydisk$/);
});

test('the boot id stays the same, differs between file systems, and can be injected', async () => {
  const here = await currentBootId(folder, {});
  expect(here).toMatch(/^[0-9a-f]{32}$/);
  expect(await currentBootId(folder, {})).toBe(here);
  expect(await currentBootId('/dev/shm', {})).not.toBe(here);
  const injected = await currentBootId(folder, { [TEST_BOOT_ID]: 'another start' });
  expect(injected).toMatch(/^[0-9a-f]{32}$/);
  expect(injected).not.toBe(here);
});
