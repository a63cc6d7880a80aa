import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireMount, resolveWhere } from '../../mount/cli/where.js';
import { thisProcess } from '../../mount/service/processes.js';
import { Registry } from '../../mount/service/registry.js';

let folder: string;
let mountpoint: string;
let registry: Registry;
beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'lazydisk-where-')));
  mountpoint = join(folder, 'mnt');
  mkdirSync(mountpoint);
  registry = Registry.in(join(folder, 'run'));
  await registry.add({
    mountpoint,
    ...thisProcess(),
    program: null,
    supervisor: null,
    stateDirectory: '/state',
    socket: '/state/control.sock',
    repository: 's3://bucket/prefix',
    endpoint: 'http://127.0.0.1:9000',
  });
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

test('what has :// is a repository', async () => {
  expect(await resolveWhere('s3://bucket', undefined, registry)).toEqual({
    kind: 'repository',
    repository: { url: 's3://bucket', endpoint: undefined },
  });
});

test('a mountpoint leads to its repository and server, also through a link and with a slash at its end', async () => {
  symlinkSync(mountpoint, join(folder, 'link'));
  for (const text of [mountpoint, `${mountpoint}/`, join(folder, 'link')]) {
    expect(await resolveWhere(text, undefined, registry)).toMatchObject({
      kind: 'mount',
      mount: { mountpoint },
      repository: { url: 's3://bucket/prefix', endpoint: 'http://127.0.0.1:9000' },
    });
  }
});

test('--endpoint wins over the one of the mount', async () => {
  const where = await resolveWhere(mountpoint, 'http://other', registry);
  expect(where.repository).toEqual({ url: 's3://bucket/prefix', endpoint: 'http://other' });
});

test.each(['', 'nothing', '/'])('%p is neither', async (text) => {
  await expect(resolveWhere(text === '/' ? '/' : join(folder, text), undefined, registry)).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: expect.stringContaining('neither a repository'),
  });
});

test('a verb that needs a head says so when it is given a repository', async () => {
  await expect(requireMount('s3://bucket', registry, 'commit', 'only a mount has local writes')).rejects.toMatchObject({
    code: 'USAGE',
    message: 'commit takes a mountpoint, not a repository: only a mount has local writes. Mount s3://bucket first.',
  });
  expect(await requireMount(mountpoint, registry, 'commit', '')).toMatchObject({ repository: 's3://bucket/prefix' });
});
