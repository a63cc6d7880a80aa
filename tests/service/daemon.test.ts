import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noFeed } from '../../lib/image/plane.js';
import { noWorkers } from '../../lib/mirror/worker-fence.js';
import { LazydiskError } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import type { Driver, EndReason } from '../../mount/fuse/driver.js';
import type { FileSystem } from '../../mount/fuse/file-system.js';
import { ControlClient } from '../../mount/service/control-client.js';
import type { ControlCommands } from '../../mount/service/control-protocol.js';
import { openMount, serve, type DaemonParts } from '../../mount/service/daemon.js';
import type { RunningCommand } from '../../mount/tree/outcomes.js';
import { Registry } from '../../mount/service/registry.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-daemon-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** A driver that mounts nothing; a test says what becomes of it. */
class FakeDriver implements Driver {
  readonly name = 'kernel';
  readonly fence = noWorkers;
  readonly planes = noFeed;
  busy = false;
  refusal: Error | undefined;
  readonly done: string[] = [];
  end: (reason: EndReason) => void = () => undefined;
  readonly ended = new Promise<EndReason>((resolve) => (this.end = resolve));

  warmUp(): void {
    this.done.push('warmUp');
  }
  discard(): void {
    this.done.push('discard');
  }
  start(): Promise<void> {
    this.done.push('start');
    return this.refusal === undefined ? Promise.resolve() : Promise.reject(this.refusal);
  }
  unmount(): Promise<void> {
    this.done.push('unmount');
    if (this.busy) return Promise.reject(new LazydiskError('BUSY', 'busy'));
    this.end({ kind: 'unmounted' });
    return Promise.resolve();
  }
  abort(): Promise<void> {
    this.done.push('abort');
    this.end({ kind: 'failed', error: new Error('aborted') });
    return Promise.resolve();
  }
  statistics(): never {
    throw new Error('nobody asks');
  }
}

function setUp(
  changes: { commands?: Partial<ControlCommands>; running?: RunningCommand[]; failingCloser?: boolean } = {},
) {
  const driver = new FakeDriver();
  const order: string[] = [];
  const lines: string[] = [];
  const note = (message: string): void => void lines.push(message);
  const log: Log = { info: note, warn: note, error: note };
  const signals = new EventEmitter();
  const registry = Registry.in(join(folder, 'run'));
  const parts: DaemonParts = {
    stack: {
      driver,
      fileSystem: {} as FileSystem,
      commands: { status: () => Promise.resolve({ health: 'ok' }), ...changes.commands } as unknown as ControlCommands,
      running: () => changes.running ?? [],
      closers: ['catalogue', 'mirror', 'database'].map((name) => ({
        name,
        close: () => {
          order.push(name);
          return changes.failingCloser === true && name === 'catalogue'
            ? Promise.reject(new Error('disk'))
            : Promise.resolve();
        },
      })),
    },
    mount: { mountpoint: '/nowhere', source: 'file:///r', allowOther: false, readOnly: false },
    stateDirectory: folder,
    supervisor: null,
    repository: { url: 'file:///r', endpoint: null },
    registry,
    log,
    signals,
  };
  return { parts, driver, order, lines, signals, registry, client: new ControlClient(join(folder, 'control.sock')) };
}

async function untilLogged(lines: readonly string[], pattern: RegExp): Promise<void> {
  while (!lines.some((line) => pattern.test(line))) await new Promise((resolve) => setImmediate(resolve));
}

test('a live mount is registered and answers; the verb unmount ends it in order and leaves nothing', async () => {
  const { parts, order, registry, client } = setUp();
  const ending = serve(await openMount(parts));
  expect(await registry.find('/nowhere')).toMatchObject({
    pid: process.pid,
    repository: 'file:///r',
    stateDirectory: folder,
  });
  expect(await client.status()).toEqual({ health: 'ok' });
  await client.unmount();
  expect(await ending).toEqual({ reason: { kind: 'unmounted' }, clean: true });
  expect(order).toEqual(['catalogue', 'mirror', 'database']);
  expect(await registry.find('/nowhere')).toBeUndefined();
  expect(existsSync(join(folder, 'control.sock'))).toBe(false);
});

test('umount(8) ends it the same way', async () => {
  const { parts, driver, order } = setUp();
  const ending = serve(await openMount(parts));
  driver.end({ kind: 'unmounted' });
  expect((await ending).clean).toBe(true);
  expect(order).toEqual(['catalogue', 'mirror', 'database']);
});

test.each(['SIGTERM', 'SIGINT'])('%s unmounts, and no listener stays', async (signal) => {
  const { parts, driver, signals } = setUp();
  const ending = serve(await openMount(parts));
  signals.emit(signal);
  expect((await ending).reason.kind).toBe('unmounted');
  expect(driver.done).toEqual(['start', 'unmount']);
  expect(signals.eventNames()).toEqual([]);
});

test('a busy mount is not ended by the verb or the first SIGTERM; the second one aborts it', async () => {
  const { parts, driver, lines, signals, client, order } = setUp();
  driver.busy = true;
  const ending = serve(await openMount(parts));
  await expect(client.unmount()).rejects.toMatchObject({
    code: 'BUSY',
    message: 'busy',
  });
  signals.emit('SIGTERM');
  await untilLogged(lines, /ends when nobody uses it any more/);
  expect(await client.status()).toEqual({ health: 'ok' });
  expect(order).toEqual([]);
  signals.emit('SIGTERM');
  expect((await ending).clean).toBe(false);
  expect(driver.done.filter((each) => each !== 'unmount')).toEqual(['start', 'abort']);
  expect(order).toEqual(['catalogue', 'mirror', 'database']);
});

// S102
test.each(['SIGTERM', 'SIGINT'])('one %s ends a busy mount in order, once nobody uses it any more', async (signal) => {
  const { parts, driver, lines, signals } = setUp();
  driver.busy = true;
  const ending = serve(await openMount(parts));
  signals.emit(signal);
  await untilLogged(lines, /ends when nobody uses it any more/);
  driver.busy = false;
  expect(await ending).toMatchObject({ clean: true, reason: { kind: 'unmounted' } });
  expect(driver.done).not.toContain('abort');
  expect(lines.filter((line) => line.startsWith('Asked to end'))).toHaveLength(1);
});

test('SIGHUP changes nothing', async () => {
  const { parts, driver, signals } = setUp();
  const ending = serve(await openMount(parts));
  signals.emit('SIGHUP');
  driver.end({ kind: 'unmounted' });
  await ending;
  expect(driver.done).toEqual(['start']);
});

test('unmount is refused while a command runs, and says which', async () => {
  let finish: (() => void) | undefined;
  const revert = (): Promise<void> => new Promise((resolve) => (finish = resolve));
  const { parts, client, driver } = setUp({ commands: { revert } });
  const ending = serve(await openMount(parts));
  const reverting = client.revert('vm');
  while (finish === undefined) await new Promise((resolve) => setImmediate(resolve));
  await expect(client.unmount()).rejects.toMatchObject({
    code: 'BUSY',
    message: expect.stringContaining('revert of vm'),
  });
  finish();
  await reverting;
  await client.unmount();
  await ending;
  expect(driver.done).toEqual(['start', 'unmount']);
});

test('unmount is refused while a command runs for which nobody waits', async () => {
  const running = [{ id: '1', command: 'commit vm --async', image: 'vm', startedAt: '2026-01-01T00:00:00.000Z' }];
  const { parts, client, driver } = setUp({ running });
  const ending = serve(await openMount(parts));
  await expect(client.unmount()).rejects.toMatchObject({
    code: 'BUSY',
    message: expect.stringContaining('commit vm --async, since 2026') as unknown,
  });
  running.pop();
  await client.unmount();
  await ending;
  expect(driver.done).toEqual(['start', 'unmount']);
});

test('a layer that fails to close does not keep the others open, and the end is not clean', async () => {
  const { parts, driver, order } = setUp({ failingCloser: true });
  const ending = serve(await openMount(parts));
  driver.end({ kind: 'unmounted' });
  expect((await ending).clean).toBe(false);
  expect(order).toEqual(['catalogue', 'mirror', 'database']);
});

test('a mount that fails to start leaves no socket, no entry and nothing open', async () => {
  const { parts, driver, order, registry } = setUp();
  driver.refusal = new LazydiskError('USAGE', 'not empty');
  await expect(openMount(parts)).rejects.toBe(driver.refusal);
  expect(order).toEqual(['catalogue', 'mirror', 'database']);
  expect(await registry.list()).toEqual([]);
  expect(existsSync(join(folder, 'control.sock'))).toBe(false);
});
