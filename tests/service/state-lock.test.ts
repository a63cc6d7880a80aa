import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LazydiskError } from '../../lib/util/errors.js';
import { silentLog } from '../../lib/util/log.js';
import type { ControlCommands } from '../../mount/service/control-protocol.js';
import { ControlServer } from '../../mount/service/control-server.js';
import { thisProcess } from '../../mount/service/processes.js';
import { Registry } from '../../mount/service/registry.js';
import { lockState } from '../../mount/service/state-lock.js';

let folder: string;
let registry: Registry;
beforeEach(() => {
  folder = mkdtempSync('/var/tmp/lazydisk-lock-');
  registry = Registry.in(join(folder, 'run'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const BUSY = new LazydiskError('BUSY', 'locked');

function holder() {
  return {
    mountpoint: '/mnt/a',
    ...thisProcess(),
    program: null,
    supervisor: null,
    stateDirectory: folder,
    socket: join(folder, 'control.sock'),
    repository: 'file:///r',
    endpoint: null,
  };
}

test('the lock of a daemon that is dying is waited for', async () => {
  let tries = 0;
  const opened = await lockState(folder, registry, (path) => {
    tries++;
    return tries < 3 ? Promise.reject(BUSY) : Promise.resolve(path);
  });
  expect(opened).toBe(join(folder, 'database'));
  expect(tries).toBe(3);
});

test('a daemon that answers is not waited for, and is named', async () => {
  await registry.add(holder());
  const commands = { status: () => Promise.resolve({}) } as unknown as ControlCommands;
  const server = await ControlServer.listen(join(folder, 'control.sock'), commands, silentLog);
  try {
    const isMounted = (mountpoint: string) => Promise.resolve(mountpoint === '/mnt/a');
    await expect(lockState(folder, registry, () => Promise.reject(BUSY), { isMounted })).rejects.toMatchObject({
      code: 'BUSY',
      message: expect.stringContaining(`/mnt/a (daemon ${String(process.pid)})`),
      facts: { mountpoint: '/mnt/a', pid: process.pid },
    });
  } finally {
    await server.close(0);
  }
});

test('a registered daemon that does not answer any more is waited for: it is flushing', async () => {
  await registry.add(holder());
  let tries = 0;
  const opened = await lockState(folder, registry, () =>
    ++tries < 3 ? Promise.reject(BUSY) : Promise.resolve('open'),
  );
  expect(opened).toBe('open');
});

test('one that still answers, but whose mount the kernel has let go, is waited for: it has not noticed yet', async () => {
  await registry.add(holder());
  const commands = { status: () => Promise.resolve({}) } as unknown as ControlCommands;
  const server = await ControlServer.listen(join(folder, 'control.sock'), commands, silentLog);
  try {
    let tries = 0;
    const open = () => (++tries < 3 ? Promise.reject(BUSY) : Promise.resolve('open'));
    expect(await lockState(folder, registry, open)).toBe('open');
  } finally {
    await server.close(0);
  }
});

// S58
test('one that flushes is waited for longer than one that nobody knows, and not for ever', async () => {
  await registry.add(holder());
  let tries = 0;
  const open = () => (++tries < 3 ? Promise.reject(BUSY) : Promise.resolve('open'));
  expect(await lockState(folder, registry, open, { unknownMs: 0 })).toBe('open');
  await expect(lockState(folder, registry, () => Promise.reject(BUSY), { flushMs: 0 })).rejects.toMatchObject({
    facts: { mountpoint: '/mnt/a' },
  });
});

test('when the time is over, the refusal says what to do', async () => {
  await expect(lockState(folder, registry, () => Promise.reject(BUSY), { unknownMs: 0 })).rejects.toMatchObject({
    code: 'BUSY',
    message: expect.stringContaining('--state'),
  });
});

test('anything but a lock is told at once', async () => {
  const damage = new LazydiskError('DAMAGED', 'broken');
  await expect(lockState(folder, registry, () => Promise.reject(damage))).rejects.toBe(damage);
});
