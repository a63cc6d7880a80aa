import { expect, test } from '@jest/globals';
import { contextWords } from '../../mount/fuse/selinux.js';

const options = { selinuxContext: 'system_u:object_r:virt_image_t:s0:c1,c2' };

test('a context is asked for on a host with SELinux, in quotes since it may hold commas', () => {
  expect(contextWords(options, '/proc/self')).toEqual(['context="system_u:object_r:virt_image_t:s0:c1,c2"']);
});

test('without SELinux it is passed over, as mount(8) does', () => {
  expect(contextWords(options, '/proc/self/nothing-of-that-name')).toEqual([]);
});

test('nothing is asked for where nothing was said', () => {
  expect(contextWords({ selinuxContext: null }, '/proc/self')).toEqual([]);
  expect(contextWords({}, '/proc/self')).toEqual([]);
});
