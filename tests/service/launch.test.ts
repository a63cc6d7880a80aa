import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch } from '../../mount/service/launch.js';
import type { MountSettings } from '../../mount/service/settings.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-launch-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function settings(mountpoint = folder): MountSettings {
  return {
    repository: 'file:///r',
    endpoint: null,
    mountpoint,
    stateDirectory: null,
    cacheDirectory: null,
    cacheSizeBytes: null,
    credentialsFile: null,
    noSignRequest: false,
    addressing: null,
    driver: 'kernel',
    fill: 'off',
    maxFillBytesPerSecond: null,
    maxUploadBytesPerSecond: null,
    profile: 'off',
    dashboard: null,
    workers: 4,
    readOnly: false,
    allowOther: false,
    noExec: false,
    selinuxContext: null,
    uid: 0,
    gid: 0,
    umask: 0,
    timeoutMs: 0,
    metrics: null,
    logFormat: 'json',
    logLevel: 'info',
    slowReadMs: 0,
    force: false,
  };
}

/** Launches a supervisor that runs `code`, in which `settings` is what it received. */
function launchCode(code: string, mountpoint?: string, deadlineMs?: number) {
  const program = join(folder, 'supervisor.mjs');
  writeFileSync(program, `process.once('message', (settings) => { ${code} });`);
  const errorFile = join(folder, 'run', 'daemon.stderr');
  return launch(settings(mountpoint), { program, errorFile, ...(deadlineMs === undefined ? {} : { deadlineMs }) });
}

const READY = `process.send({
  kind: 'ready',
  outcome: {daemonPid: 7, stateDirectory: '/s', degraded: true, survivable: true, dashboard: 'http://127.0.0.1:1/'}
})`;

test('the supervisor gets the settings, a session of its own and more threads, and its outcome comes back', async () => {
  const facts = join(folder, 'facts');
  const outcome = await launchCode(`
    import('node:fs').then(({ writeFileSync, readFileSync }) => {
      const [, , , , , session] = readFileSync('/proc/self/stat', 'utf8').replace(/\\(.*\\)/, 'x').split(' ');
      writeFileSync(${JSON.stringify(facts)}, JSON.stringify({
        settings, session: Number(session), pid: process.pid, cwd: process.cwd(), threads: process.env.UV_THREADPOOL_SIZE }));
      ${READY};
      process.disconnect();
    });`);
  const seen = JSON.parse(readFileSync(facts, 'utf8')) as Record<string, unknown>;
  expect(seen).toEqual({
    settings: settings(),
    session: outcome.supervisorPid,
    pid: outcome.supervisorPid,
    cwd: '/',
    threads: '16',
  });
  const { supervisorPid } = outcome;
  const dashboard = 'http://127.0.0.1:1/';
  expect(outcome).toEqual({
    daemonPid: 7,
    supervisorPid,
    stateDirectory: '/s',
    degraded: true,
    survivable: true,
    dashboard,
  });
});

test('a failure of the daemon arrives as the error that it was, even when it dies at once', async () => {
  const error = { code: 'REFUSED', message: 'The secret is wrong.', facts: { bucket: 'b' } };
  await expect(
    launchCode(`process.send({kind: 'failed', error: ${JSON.stringify(error)}}, () => process.exit(1))`),
  ).rejects.toMatchObject(error);
});

test('a daemon that its supervisor has seen die is reported with how it died', async () => {
  await expect(launchCode(`process.send({kind: 'died', how: 'SIGSEGV'})`)).rejects.toMatchObject({
    code: 'IO',
    message: 'The daemon ended (SIGSEGV) before the mount was ready.',
  });
});

test('a supervisor that crashes is reported with its last words', async () => {
  await expect(launchCode(`throw new TypeError('no such thing')`)).rejects.toMatchObject({
    code: 'IO',
    message: expect.stringMatching(/before the mount was ready: .*no such thing/),
  });
});

test('a supervisor that is killed is reported with the signal', async () => {
  await expect(launchCode(`process.kill(process.pid, 'SIGKILL')`)).rejects.toMatchObject({
    message: expect.stringContaining('SIGKILL'),
  });
});

test('a daemon that never gets ready is given up at the deadline: its supervisor is left alone', async () => {
  await expect(
    launchCode(`process.once('disconnect', () => process.exit()); setInterval(() => {}, 1000)`, undefined, 300),
  ).rejects.toMatchObject({
    code: 'UNREACHABLE',
  });
});

test('a mount that says ready but does not answer is a failure', async () => {
  await expect(launchCode(`${READY}; process.disconnect()`, join(folder, 'gone'))).rejects.toMatchObject({
    code: 'IO',
    message: expect.stringContaining('does not answer'),
  });
});
