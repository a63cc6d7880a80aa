import { expect, test } from '@jest/globals';
import { resolve } from 'node:path';
import { helperRequest } from '../../mount/cli/mount-helper.js';

test.each([
  [
    ['s3://images/prod', '/mnt', '-o', 'rw,allow_other,gid=kvm'],
    { words: ['mount', 's3://images/prod', '/mnt', '--allow-other', '--gid=kvm'], fake: false, verbose: false },
  ],
  [
    ['s3://images/prod', '/mnt', '-sfnv', '-t', 'fuse.lazydisk', '-o', 'ro,novelty', '-o', 'uid=5'],
    { words: ['mount', 's3://images/prod', '/mnt', '--read-only', '--uid=5'], fake: true, verbose: true },
  ],
  [
    ['-n', '--', 'file:///srv', '-mnt'],
    { words: ['mount', 'file:///srv', resolve('-mnt')], fake: false, verbose: false },
  ],
])('%j is %j', (given, request) => {
  expect(helperRequest(given)).toEqual(request);
});

test.each([
  [['s3://images/prod'], 'USAGE', /got 1 words: mount\.lazydisk SPEC DIR/],
  [['s3://a/b', '/mnt', '/more'], 'USAGE', /got 3 words/],
  [['s3://a/b', '/mnt', '-x'], 'USAGE', /-x/],
  [['s3://a/b', '/mnt', '-o', 'novelty'], 'USAGE', /"novelty" is not known/],
  [['s3://a/b', '/mnt', '-N', '/proc/1/ns/mnt'], 'UNSUPPORTED', /nsenter/],
])('%j is refused (%s)', (given, code, message) => {
  expect(() => helperRequest(given)).toThrow(
    expect.objectContaining({ code, message: expect.stringMatching(message) }),
  );
});
