import { describe, expect, test } from '@jest/globals';
import yargs from 'yargs';
import { MOUNT_OPTIONS } from '../../mount/cli/mount-options.js';
import { twinOf, TWINS, wordsOfTwins } from '../../mount/cli/mount-twins.js';

/** What the verb's own parser makes of them. */
function parsed(text: string): Record<string, unknown> {
  return yargs(wordsOfTwins(text)).options(MOUNT_OPTIONS).exitProcess(false).parseSync();
}

/** A value that the option takes. */
function exampleOf(name: string): string {
  const option = TWINS.get(name)!;
  return option.type === 'boolean' ? '' : `=${String(option.choices?.at(-1) ?? '5')}`;
}

test('every option of the verb has a twin, but for the one that would keep mount(8) waiting', () => {
  const without = Object.keys(MOUNT_OPTIONS).filter((name) => !TWINS.has(name));
  expect(without).toEqual(['foreground']);
  expect(TWINS.has('endpoint')).toBe(true);
});

test.each([...TWINS.keys()])('%s means the same by -o, with _ or - in its name', (name) => {
  const value = exampleOf(name);
  for (const spelled of [name, name.replaceAll('-', '_')]) {
    expect(wordsOfTwins(`${spelled}${value}`)).toEqual([`--${name}${value}`]);
  }
});

test('a line of fstab becomes the options of the verb', () => {
  const text = 'rw,_netdev,nofail,allow_other,credentials=/etc/lazydisk/credentials,gid=kvm,x-systemd.automount';
  expect(wordsOfTwins(text)).toEqual(['--allow-other', '--credentials=/etc/lazydisk/credentials', '--gid=kvm']);
  expect(parsed(text)).toMatchObject({ allowOther: true, credentials: '/etc/lazydisk/credentials', gid: 'kvm' });
});

test.each([
  ['ro', ['--read-only']],
  ['ro,rw', []],
  ['rw,ro', ['--read-only']],
  ['noexec,nosuid,nodev,user=anna', ['--noexec']],
  ['noexec,exec', []],
  ['uid=1,uid=2', ['--uid=2']],
  ['defaults', []],
  ['', []],
  ['X-mount.mkdir,x-gvfs-hide,comment=mine,noatime', []],
  [
    'context="system_u:object_r:virt_image_t:s0:c1,c2",ro',
    ['--context=system_u:object_r:virt_image_t:s0:c1,c2', '--read-only'],
  ],
  ['state=/srv/a=b', ['--state=/srv/a=b']],
])('%j becomes %j', (text, words) => {
  expect(wordsOfTwins(text)).toEqual(words);
});

describe('refused by name', () => {
  test.each([
    ['frobnicate', /"frobnicate" is not known.*lazydisk mount --help/],
    ['ro=1', /"ro" is not known/],
    ['allow_other=yes', /allow_other takes no value: write allow_other\./],
    ['cache_size', /cache_size needs a value: write cache_size=…\./],
    ['uid=', /uid needs a value/],
    ['remount,ro', /can’t be remounted: unmount it/],
    ['foreground', /"foreground" is not known/],
    ['sync', /"sync" is not known/],
  ])('%s', (text, message) => {
    expect(() => wordsOfTwins(text)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(message) }),
    );
  });

  test('but passed over when mount(8) says that it may be (-s)', () => {
    expect(wordsOfTwins('frobnicate,ro', { sloppy: true })).toEqual(['--read-only']);
    expect(() => wordsOfTwins('cache_size', { sloppy: true })).toThrow(/needs a value/);
  });
});

test('a twin is spelled as fstab has it', () => {
  expect([...TWINS].filter(([name]) => name.includes('-')).map(([name, option]) => twinOf(name, option))).toEqual(
    expect.arrayContaining(['cache_size=…', 'allow_other', 'read_only']),
  );
});
