import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isRunning, startTicksOf, thisProcess } from '../../mount/service/processes.js';
import { Registry, type RegistryEntry } from '../../mount/service/registry.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-registry-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function entry(changes: Partial<RegistryEntry> = {}): RegistryEntry {
  return {
    mountpoint: '/mnt/a b',
    ...thisProcess(),
    program: null,
    supervisor: null,
    stateDirectory: '/state',
    socket: '/state/control.sock',
    repository: 's3://bucket',
    endpoint: null,
    ...changes,
  };
}

test('a live mount is found by its mountpoint and listed', async () => {
  const registry = Registry.in(join(folder, 'run'));
  await registry.add(entry());
  await registry.add(entry({ mountpoint: '/other' }));
  expect(await registry.find('/mnt/a b')).toEqual(entry());
  expect((await registry.list()).map(({ mountpoint }) => mountpoint).sort()).toEqual(['/mnt/a b', '/other']);
  expect(await registry.find('/mnt')).toBeUndefined();
});

test('a user without a login keeps it where nobody else can write', () => {
  const folderOf = (environment: NodeJS.ProcessEnv) => dirname(Registry.forUser(1000, environment).entryPath('/mnt'));
  expect(folderOf({ XDG_RUNTIME_DIR: '/run/user/1000' })).toBe('/run/user/1000/lazydisk');
  expect(folderOf({ XDG_STATE_HOME: '/home/anna/states' })).toBe('/home/anna/states/lazydisk/run');
  expect(folderOf({ XDG_RUNTIME_DIR: '', XDG_STATE_HOME: '/s' })).toBe('/s/lazydisk/run');
});

test('the end of a mount leaves nothing, also of daemons that were killed while they replaced its entry', async () => {
  const registry = Registry.in(folder);
  await registry.add(entry());
  const own = registry.entryPath('/mnt/a b');
  const another = `${registry.entryPath('/other')}.0123456789ab.new`;
  for (const path of [`${own}.0123456789ab.new`, `${own}.ba9876543210.new`, another]) writeFileSync(path, '{');
  await registry.remove('/mnt/a b', process.pid);
  expect(readdirSync(folder)).toEqual([basename(another)]);
});

test('entries can be read by other users', async () => {
  const before = process.umask(0o077);
  const run = join(folder, 'run');
  try {
    await Registry.in(run).add(entry());
  } finally {
    process.umask(before);
  }
  const [name] = readdirSync(run);
  expect(statSync(join(run, name ?? '')).mode & 0o777).toBe(0o644);
  expect(statSync(run).mode & 0o777).toBe(0o755);
});

test('the entry of a process that has ended is ignored and removed', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const pid = child.pid ?? 0;
  const startTicks = startTicksOf(pid) ?? '';
  const registry = Registry.in(folder);
  await registry.add(entry({ pid, startTicks }));
  expect(await registry.find('/mnt/a b')).toBeDefined();
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await registry.find('/mnt/a b')).toBeUndefined();
  expect(readdirSync(folder)).toEqual([]);
});

test('a pid that was given to another process since is not taken for the daemon', () => {
  expect(isRunning(thisProcess())).toBe(true);
  expect(isRunning({ ...thisProcess(), startTicks: '1' })).toBe(false);
});

test('an entry is removed only by the process that it names', async () => {
  const registry = Registry.in(folder);
  await registry.add(entry());
  await registry.remove('/mnt/a b', process.pid + 1);
  expect(await registry.find('/mnt/a b')).toBeDefined();
  await registry.remove('/mnt/a b', process.pid);
  expect(await registry.find('/mnt/a b')).toBeUndefined();
});

test('files that are no entries are passed over and left alone', async () => {
  writeFileSync(join(folder, 'strange.json'), '{"pid": "x"}');
  writeFileSync(join(folder, 'broken.json'), '{');
  expect(await Registry.in(folder).list()).toEqual([]);
  expect(readdirSync(folder).sort()).toEqual(['broken.json', 'strange.json']);
});

test('a registry that does not exist yet is empty', async () => {
  expect(await Registry.in(join(folder, 'none')).list()).toEqual([]);
});

test('who wants to ask a daemon that has died waits for the next one, as long as a supervisor is there', async () => {
  const registry = Registry.in(folder);
  const gone = { pid: 2 ** 22 - 1, startTicks: '1' };
  await registry.add(entry({ ...gone, supervisor: thisProcess() }));
  expect(await registry.find('/mnt/a b')).toMatchObject(gone);
  const asked = registry.findServing('/mnt/a b');
  const next = entry({ supervisor: thisProcess() });
  await registry.add(next);
  expect(await asked).toEqual(next);
  await registry.add(entry({ ...gone, supervisor: gone }));
  expect(await registry.findServing('/mnt/a b')).toBeUndefined();
});
