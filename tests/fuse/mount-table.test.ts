import { describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearStaleMount, isStaleMount, mountAt, parseMountTable } from '../../mount/fuse/mount-table.js';

const TEXT = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:44 / /mnt/a\\040b rw,nosuid,nodev shared:2 master:1 - fuse.lazydisk s3://bucket/with\\040blank rw,user_id=0
41 22 0:45 / /mnt/a\\040b rw - tmpfs none rw
broken line
`;

describe('parseMountTable', () => {
  it('reads devices, paths with blanks, types and sources', () => {
    expect(parseMountTable(TEXT)).toEqual([
      { device: '254:0', mountpoint: '/', type: 'ext4', source: '/dev/vda' },
      { device: '0:44', mountpoint: '/mnt/a b', type: 'fuse.lazydisk', source: 's3://bucket/with blank' },
      { device: '0:45', mountpoint: '/mnt/a b', type: 'tmpfs', source: 'none' },
    ]);
  });

  it('gives the mount on top', () => {
    expect(mountAt(parseMountTable(TEXT), '/mnt/a b')?.type).toBe('tmpfs');
    expect(mountAt(parseMountTable(TEXT), '/mnt')).toBeUndefined();
  });
});

describe('stale mounts', () => {
  it('are not seen in plain folders and missing paths', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lazydisk-stale-'));
    try {
      expect(await isStaleMount(folder)).toBe(false);
      expect(await isStaleMount(join(folder, 'missing', 'deeper'))).toBe(false);
      expect(await clearStaleMount(folder)).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
