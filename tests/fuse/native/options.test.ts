import { describe, expect, it } from '@jest/globals';
import { nativeOptions } from '../../../mount/fuse/native/options.js';

const options = { source: 's3://bucket/prefix', allowOther: false, readOnly: false };

describe('the options of a mount through libfuse 2', () => {
  it('always have the kernel check owners and modes, and keep its page cache out', () => {
    const words = nativeOptions(options).replace(/^-o/, '').split(',');
    expect(words).toEqual(
      expect.arrayContaining(['default_permissions', 'direct_io', 'use_ino', 'hard_remove', 'subtype=lazydisk']),
    );
    expect(words).toContain('fsname=s3://bucket/prefix');
    expect(words).not.toContain('allow_other');
    expect(words).not.toContain('ro');
  });

  it('say who may enter and whether it may be written', () => {
    const words = nativeOptions({ ...options, allowOther: true, readOnly: true, noExec: true }).split(',');
    expect(words).toEqual(expect.arrayContaining(['allow_other', 'ro', 'noexec']));
  });

  it('escape what would end the source, so that a source is never an option', () => {
    expect(nativeOptions({ ...options, source: 'file:///a,suid\\b' })).toMatch(/^-ofsname=file:\/\/\/a\\,suid\\\\b,/);
  });

  it('refuse a source that the package would cut off', () => {
    expect(() => nativeOptions({ ...options, source: `file:///${'x'.repeat(900)}` })).toThrow(/too long/);
  });
});
