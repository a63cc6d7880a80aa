import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import yargs from 'yargs';
import { COMMON_OPTIONS } from '../../mount/cli/common-options.js';
import { MOUNT_OPTIONS } from '../../mount/cli/mount-options.js';
import { mountSettings } from '../../mount/cli/mount-settings.js';
import { environmentWith } from '../../mount/cli/store-environment.js';
import { mountSettingsSchema } from '../../mount/service/settings.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-settings-'));
  writeFileSync(join(folder, 'credentials'), '[default]\n');
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const ADDRESS = { url: 's3://bucket/prefix', endpoint: null };

function settingsOf(...words: string[]) {
  const options = yargs(words)
    .parserConfiguration({ 'parse-numbers': false, 'boolean-negation': false })
    .options({ ...COMMON_OPTIONS, ...MOUNT_OPTIONS })
    .exitProcess(false)
    .parseSync();
  return mountSettings(options, ADDRESS, '/mnt');
}

test('without options everything has the value that the help says', async () => {
  expect(await settingsOf()).toEqual({
    repository: 's3://bucket/prefix',
    endpoint: null,
    mountpoint: '/mnt',
    stateDirectory: null,
    cacheDirectory: null,
    cacheSizeBytes: null,
    credentialsFile: null,
    noSignRequest: false,
    addressing: null,
    fill: 'idle',
    maxFillBytesPerSecond: null,
    maxUploadBytesPerSecond: null,
    profile: 'auto',
    dashboard: null,
    driver: 'kernel',
    workers: null,
    readOnly: false,
    allowOther: false,
    noExec: false,
    selinuxContext: null,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
    umask: 0,
    timeoutMs: 300_000,
    metrics: null,
    logFormat: 'json',
    logLevel: 'info',
    slowReadMs: 1000,
    force: false,
  });
});

// S101
test.each(['0.0.0.0:8090', '[::]:8090', '192.0.2.7:8090'])('the dashboard is not served on %s', async (address) => {
  await expect(settingsOf(`--dashboard=${address}`)).rejects.toThrow(
    /--dashboard is served on this host alone, .* use `ssh -L /,
  );
});

test('settings travel to the daemon as they are', async () => {
  const settings = await settingsOf('--noexec', '--context=system_u:object_r:virt_image_t:s0:c1,c2', '--umask=027');
  expect(mountSettingsSchema.parse(JSON.parse(JSON.stringify(settings)))).toEqual(settings);
  expect(settings).toMatchObject({
    noExec: true,
    selinuxContext: 'system_u:object_r:virt_image_t:s0:c1,c2',
    umask: 0o27,
  });
});

/** Settings that the first version did not have. */
const ADDED = [
  ...['credentialsFile', 'noSignRequest', 'addressing'],
  ...['noExec', 'selinuxContext'],
  ...['metrics', 'logFormat', 'logLevel', 'slowReadMs'],
];

test('a daemon understands the settings that a supervisor has kept from an older version', async () => {
  const settings = await settingsOf();
  const older = Object.entries(settings).filter(([name]) => !ADDED.includes(name));
  expect(older).toHaveLength(Object.keys(settings).length - ADDED.length);
  expect(mountSettingsSchema.parse(Object.fromEntries(older))).toEqual(settings);
});

test('metrics are served where it is said; slow reads are logged from when it is said', async () => {
  expect(await settingsOf('--metrics=[::1]:9100', '--slow-read=250ms')).toMatchObject({
    metrics: { host: '::1', port: 9100 },
    slowReadMs: 250,
  });
  expect(await settingsOf('--slow-read=off')).toMatchObject({ metrics: null, slowReadMs: 0 });
});

test('users and groups have names or numbers', async () => {
  expect(await settingsOf('--uid=root', '--gid=root')).toMatchObject({ uid: 0, gid: 0 });
  expect(await settingsOf('--uid=107', '--gid=4294967294')).toMatchObject({ uid: 107, gid: 4294967294 });
});

describe('refused with the option and what it takes', () => {
  test.each([
    [
      '--uid=nobody-of-that-name',
      /^--uid takes the name or the number of a user of this host, not "nobody-of-that-name"\.$/,
    ],
    ['--gid=4294967295', /^--gid takes .* group .*, not "4294967295"\.$/],
    ['--gid=--help', /^--gid takes/],
    ['--umask=9', /^--umask takes octal permission bits/],
    ['--cache-size=1M', /^--cache-size must be at least 64 MiB, not 1M\.$/],
    ['--metrics=9100', /^--metrics takes an address of this host and a port/],
    ['--slow-read=1', /^--slow-read takes a duration such as 7d, 12h, 90m, 30s or 500ms, not "1"\.$/],
    ['--context=a"b', /^--context takes an SELinux context such as/],
    [
      '--credentials=/nowhere/at-all',
      /^The file of --credentials can't be read \(.*ENOENT.*\/nowhere\/at-all.*\): name one like/,
    ],
  ])('%s', async (word, message) => {
    await expect(settingsOf(word)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringMatching(message) });
  });
});

test('a file of credentials goes before the keys in the environment, and leaves the rest', async () => {
  const { credentialsFile } = await settingsOf(`--credentials=${join(folder, 'credentials')}`);
  expect(credentialsFile).toBe(join(folder, 'credentials'));
  const given = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_SESSION_TOKEN: 'c', AWS_REGION: 'eu-1' };
  const plain = { noSignRequest: false, addressing: null };
  expect(environmentWith({ ...plain, credentialsFile }, given)).toEqual({
    AWS_REGION: 'eu-1',
    AWS_SHARED_CREDENTIALS_FILE: join(folder, 'credentials'),
  });
  expect(environmentWith(plain, given)).toEqual(given);
  expect(environmentWith({ noSignRequest: true, addressing: 'virtual' }, {})).toEqual({
    LAZYDISK_NO_SIGN_REQUEST: '1',
    LAZYDISK_ADDRESSING: 'virtual',
  });
});
