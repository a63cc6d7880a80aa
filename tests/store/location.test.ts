import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatLocation, parseLocation } from '../../lib/store/location.js';

describe('a location', () => {
  it.each([
    ['s3://bucket', { kind: 's3', bucket: 'bucket', prefix: '' }],
    ['s3://bucket/', { kind: 's3', bucket: 'bucket', prefix: '' }],
    ['s3://my.bucket-1/a/b c', { kind: 's3', bucket: 'my.bucket-1', prefix: 'a/b c' }],
    ['s3://bucket/a/', { kind: 's3', bucket: 'bucket', prefix: 'a' }],
    ['S3://bucket/a%20b', { kind: 's3', bucket: 'bucket', prefix: 'a%20b' }],
    ['file:///srv/images', { kind: 'file', directory: '/srv/images' }],
    ['file:///srv/images/', { kind: 'file', directory: '/srv/images' }],
    ['file:///a/../b', { kind: 'file', directory: '/b' }],
    ['file:///with space/%25/%C3%BC', { kind: 'file', directory: '/with space/%/ü' }],
  ])('%s is understood', (text, location) => {
    expect(parseLocation(text)).toEqual(location);
  });

  it.each([
    ['', 'not an empty word'],
    ['/srv/images', 'write file:///srv/images for this directory'],
    ['images', '"images" is a path'],
    ['./a b', '/a%20b for this directory'],
    ['C:', 'is a path'],
    ['http://host/bucket', 'there is no store for http://'],
    ['s3:bucket', 'with two slashes'],
    ['s3://', "can't be the name of a bucket"],
    ['s3://Bucket/x', "can't be the name of a bucket"],
    ['s3://a/x', "can't be the name of a bucket"],
    ['s3://a..b/x', "can't be the name of a bucket"],
    ['s3://192.168.1.1/x', "can't be the name of a bucket"],
    ['s3://bucket/../x', 'it has the name ..'],
    ['s3://bucket//x', 'an empty name'],
    ['file://host/dir', 'names no directory of this host'],
    ['file:dir', 'names no directory of this host'],
    ['file:///a?b', 'a ? or #'],
    ['file:///a%zz', 'no good file URL'],
    ['file:///a%2Fb', 'no good file URL'],
  ])('%s is USAGE, with what to write instead', (text, part) => {
    expect(() => parseLocation(text)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(part) }),
    );
  });

  it('never holds credentials, and a message about one that does does not repeat them', () => {
    try {
      parseLocation('s3://AKIAEXAMPLE:secret@bucket/x');
    } catch (error) {
      expect(String(error)).toContain('credentials come from the environment');
      expect(JSON.stringify([String(error), error])).not.toMatch(/AKIAEXAMPLE|secret@/);
      return;
    }
    throw new Error('it was accepted');
  });

  it('is the same after it was printed and parsed', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9 %+&üé'()~_.-]{1,20}$/).filter((text) => text !== '.' && text !== '..');
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'));
    fc.assert(
      fc.property(path, (text) => {
        const inBucket = { kind: 's3' as const, bucket: 'bucket', prefix: text };
        expect(parseLocation(formatLocation(inBucket))).toEqual(inBucket);
        const directory = { kind: 'file' as const, directory: `/${text}` };
        expect(parseLocation(formatLocation(directory))).toEqual(directory);
      }),
    );
  });
});
