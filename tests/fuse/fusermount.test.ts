import { describe, expect, test } from '@jest/globals';
import { fusermountOptions } from '../../mount/fuse/fusermount.js';

const options = { source: 's3://bucket/prefix', allowOther: false, readOnly: false };

describe('the options for fusermount3', () => {
  test('name the mount as that of root is named, and let the kernel check owners and modes', () => {
    expect(fusermountOptions(options)).toBe(
      'fsname=s3://bucket/prefix,subtype=lazydisk,nosuid,nodev,default_permissions,max_read=1048576',
    );
  });

  test('say who may enter, and what may be done', () => {
    const words = fusermountOptions({ ...options, allowOther: true, readOnly: true, noExec: true }).split(',');
    expect(words.slice(-3)).toEqual(['ro', 'noexec', 'allow_other']);
  });

  test('escape what would end the source, so that a source is never an option', () => {
    expect(fusermountOptions({ ...options, source: 'file:///a,suid\\b' })).toMatch(
      /^fsname=file:\/\/\/a\\,suid\\\\b,sub/,
    );
  });
});
