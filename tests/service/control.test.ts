import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync, existsSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LazydiskError } from '../../lib/util/errors.js';
import { silentLog } from '../../lib/util/log.js';
import { ControlClient } from '../../mount/service/control-client.js';
import type { ControlCommands } from '../../mount/service/control-protocol.js';
import { ControlServer } from '../../mount/service/control-server.js';
import type { ImageStatusDocument, MountGlance, MountStatus } from '../../mount/tree/status-schema.js';

const COMMITTED = {
  image: 'vm',
  number: 2,
  changed: true,
  commitId: 'c',
  dirtyBytes: 1,
  uploadedBytes: 1,
  pauseMs: 0.3,
  durationMs: 5,
};

const HYDRATED = { image: 'vm', localBytes: 2, fetchedBytes: 1, durationMs: 3 };
const PROFILE = {
  formatVersion: 1,
  imageId: 'a'.repeat(32),
  timeMs: 1,
  boots: 1,
  ranges: [{ offsetBytes: 0, lengthBytes: 65_536, unusedBoots: 0 }],
} as const;

/** Remembers what it was asked and answers something recognisable. */
class FakeCommands implements ControlCommands {
  readonly asked: unknown[] = [];
  commit: ControlCommands['commit'] = (image, wish) => {
    this.asked.push(['commit', image, wish]);
    return Promise.resolve(COMMITTED);
  };
  beginCommit: ControlCommands['beginCommit'] = (image, wish) => {
    this.asked.push(['beginCommit', image, wish]);
    return Promise.resolve({ id: '1f2e-1', image, pauseMs: 3, outcome: null });
  };
  command: ControlCommands['command'] = (id) => {
    this.asked.push(['command', id]);
    return Promise.resolve({ id, command: 'commit vm --async', image: 'vm', startedAt: '2026-01-01T00:00:00.000Z' });
  };
  clone: ControlCommands['clone'] = (image, newImage, options) => {
    this.asked.push(['clone', image, newImage, options]);
    return Promise.resolve({ image: newImage, number: 1, source: { image, number: 2 } });
  };
  revert: ControlCommands['revert'] = (image, number) => {
    this.asked.push(['revert', image, number]);
    return Promise.resolve();
  };
  tagged: ControlCommands['tagged'] = (image, tag) => {
    this.asked.push(['tagged', image, tag]);
    return Promise.resolve({ number: 3 });
  };

  unlock: ControlCommands['unlock'] = (image) => {
    this.asked.push(['unlock', image]);
    return Promise.resolve();
  };
  keepFlat: ControlCommands['keepFlat'] = (image, number) => {
    this.asked.push(['keepFlat', image, number]);
    return Promise.resolve({ image, number, sizeBytes: 4096, dataBytes: 512 });
  };
  dropFlat: ControlCommands['dropFlat'] = (image, number) => {
    this.asked.push(['dropFlat', image, number]);
    return Promise.resolve({ dropped: number === 1 });
  };
  hydrate: ControlCommands['hydrate'] = (image, number) => {
    this.asked.push(['hydrate', image, number]);
    return Promise.resolve(HYDRATED);
  };
  recordProfile: ControlCommands['recordProfile'] = (image) => {
    this.asked.push(['recordProfile', image]);
    return Promise.resolve(PROFILE);
  };
  restart: ControlCommands['restart'] = (program) => {
    this.asked.push(['restart', program]);
    return Promise.resolve();
  };
  unmount: ControlCommands['unmount'] = () => {
    this.asked.push(['unmount']);
    return Promise.resolve();
  };
  status: ControlCommands['status'] = () => Promise.resolve({ schemaVersion: 1 } as MountStatus);
  glance: ControlCommands['glance'] = () => Promise.resolve({ hits: 7 } as MountGlance);
  imageStatus: ControlCommands['imageStatus'] = (image) => {
    if (image === 'vm') return Promise.resolve({ image } as ImageStatusDocument);
    return Promise.reject(new LazydiskError('NOT_FOUND', `There is no image ${image}.`, { facts: { image } }));
  };
}

let folder: string;
let socket: string;
let commands: FakeCommands;
let server: ControlServer;
let client: ControlClient;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-control-'));
  socket = join(folder, 'control.sock');
  commands = new FakeCommands();
  server = await ControlServer.listen(socket, commands, silentLog);
  client = new ControlClient(socket);
});
afterEach(async () => {
  await server.close(0);
  rmSync(folder, { recursive: true });
});

/** One raw request. */
function raw(method: string, path: string, body?: string): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: socket, method, path }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => (text += part.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown });
      });
    });
    call.on('error', reject);
    call.end(body);
  });
}

test('every command arrives with its arguments and brings its answer back', async () => {
  expect(await client.commit('vm', { label: 'after update', as: 'new' })).toEqual(COMMITTED);
  expect(await client.commit('vm')).toEqual(COMMITTED);
  expect(await client.beginCommit('vm', { label: 'at once' })).toMatchObject({ id: '1f2e-1', outcome: null });
  expect(await client.command('1f2e-1')).toMatchObject({ id: '1f2e-1', image: 'vm' });
  expect(await client.clone('vm', 'new', { number: 3 })).toMatchObject({ image: 'new', number: 1 });
  await client.clone('vm', 'new', { commit: true });
  await client.clone('vm', 'new', { local: true });
  await client.revert('vm');
  await client.revert('vm', 4);
  expect(await client.tagged('vm', 'v1.0/x')).toEqual({ number: 3 });
  await client.unlock('vm');
  expect(await client.keepFlat('vm', 2)).toMatchObject({ image: 'vm', number: 2, dataBytes: 512 });
  expect(await client.dropFlat('vm', 2)).toEqual({ dropped: false });
  expect(await client.hydrate('vm')).toEqual(HYDRATED);
  expect(await client.hydrate('vm', 2)).toEqual(HYDRATED);
  expect(await client.recordProfile('vm')).toEqual(PROFILE);
  await client.restart('/usr/lib/daemon.js');
  await client.unmount();
  expect(commands.asked).toEqual([
    ['commit', 'vm', { label: 'after update', as: 'new' }],
    ['commit', 'vm', {}],
    ['beginCommit', 'vm', { label: 'at once' }],
    ['command', '1f2e-1'],
    ['clone', 'vm', 'new', { number: 3 }],
    ['clone', 'vm', 'new', { commit: true }],
    ['clone', 'vm', 'new', { local: true }],
    ['revert', 'vm', undefined],
    ['revert', 'vm', 4],
    ['tagged', 'vm', 'v1.0/x'],
    ['unlock', 'vm'],
    ['keepFlat', 'vm', 2],
    ['dropFlat', 'vm', 2],
    ['hydrate', 'vm', undefined],
    ['hydrate', 'vm', 2],
    ['recordProfile', 'vm'],
    ['restart', '/usr/lib/daemon.js'],
    ['unmount'],
  ]);
  expect(await client.status()).toEqual({ schemaVersion: 1 });
  expect(await client.glance()).toEqual({ hits: 7 });
  expect(await client.imageStatus('vm')).toEqual({ image: 'vm' });
});

test('an error of the daemon is thrown with its code, message and facts', async () => {
  const failure = new LazydiskError('LOCKED', 'Held by host b.', { facts: { host: 'b' } });
  commands.commit = () => Promise.reject(failure);
  await expect(client.commit('vm')).rejects.toMatchObject({
    code: 'LOCKED',
    message: 'Held by host b.',
    facts: { host: 'b' },
  });
  await expect(client.imageStatus('a/b c')).rejects.toMatchObject({ code: 'NOT_FOUND', facts: { image: 'a/b c' } });
});

test('other clients get the code as an HTTP status and the error as JSON', async () => {
  expect(await raw('GET', '/images/x/status')).toEqual({
    status: 404,
    body: { error: { code: 'NOT_FOUND', message: 'There is no image x.', facts: { image: 'x' } } },
  });
  expect(await raw('DELETE', '/status')).toMatchObject({ status: 400, body: { error: { code: 'USAGE' } } });
  expect(await raw('POST', '/commit', 'no json')).toMatchObject({ status: 400 });
  expect(await raw('POST', '/commit', '{"image": "vm", "lable": "x"}')).toMatchObject({ status: 400 });
  expect(await raw('POST', '/commit', '{}')).toMatchObject({ status: 400 });
  expect(await raw('POST', '/revert', '{"image": "vm", "number": 0}')).toMatchObject({ status: 400 });
  expect(await raw('POST', '/constructor', '{}')).toMatchObject({ status: 400 });
  expect(await raw('POST', '/commit', `{"image": "${'x'.repeat(100_000)}"}`)).toMatchObject({ status: 413 });
  expect(commands.asked).toEqual([]);
});

test('a bug in the daemon is an IO error, not a broken connection', async () => {
  commands.commit = () => {
    throw new TypeError('undefined is not a function');
  };
  await expect(client.commit('vm')).rejects.toMatchObject({ code: 'IO' });
});

test('only the owner may use the socket, and a dead one is replaced', async () => {
  expect(statSync(socket).mode & 0o777).toBe(0o600);
  await server.close(0);
  expect(existsSync(socket)).toBe(false);
  writeFileSync(socket, 'left behind');
  server = await ControlServer.listen(socket, commands, silentLog);
  expect(await client.status()).toEqual({ schemaVersion: 1 });
});

test('closing waits for a command that runs, and its client gets the answer', async () => {
  let finish: () => void = () => undefined;
  let begun: () => void = () => undefined;
  const hasBegun = new Promise<void>((resolve) => (begun = resolve));
  commands.commit = () => {
    begun();
    return new Promise(
      (resolve) =>
        (finish = () => {
          resolve(COMMITTED);
        }),
    );
  };
  const outcome = client.commit('vm');
  await hasBegun;
  let closed = false;
  const closing = server.close(60_000).then(() => (closed = true));
  await expect(new ControlClient(socket).status()).rejects.toMatchObject({ code: 'IO' });
  expect(closed).toBe(false);
  finish();
  expect(await outcome).toEqual(COMMITTED);
  await closing;
});

test('a command whose client went away runs to its end', async () => {
  let finish: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => {
    commands.commit = () => {
      resolve();
      return new Promise(
        (done) =>
          (finish = () => {
            done(COMMITTED);
          }),
      );
    };
  });
  const call = request({ socketPath: socket, method: 'POST', path: '/commit' });
  call.on('error', () => undefined);
  call.end('{"image": "vm"}');
  await begun;
  call.destroy();
  finish();
  expect(await client.status()).toEqual({ schemaVersion: 1 });
});

test('no daemon: the error names the socket', async () => {
  await expect(new ControlClient(join(folder, 'none.sock')).status()).rejects.toMatchObject({
    code: 'IO',
    message: expect.stringContaining('none.sock'),
  });
});

describe('a state directory that is deeper than the address of a socket', () => {
  test('has a control socket all the same', async () => {
    const deep = join(folder, 'd'.repeat(100), 'e'.repeat(100));
    mkdirSync(deep, { recursive: true });
    const path = join(deep, 'control.sock');
    const other = await ControlServer.listen(path, commands, silentLog);
    try {
      expect(statSync(path).isSocket()).toBe(true);
      expect(await new ControlClient(path).status()).toEqual({ schemaVersion: 1 });
    } finally {
      await other.close(0);
    }
    expect(existsSync(path)).toBe(false);
  });
});
