import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mirror } from '../../lib/mirror/api.js';
import { mount, umount2 } from '../../lib/util/syscalls.js';
import { CHUNK, TestPlace, bytesOf, holds, readChunk, wanted } from './fake-source.js';

const MIB = 1024 * 1024;
/** Mounting a small file system needs root; the rest of the suite does not. */
const asRoot = process.getuid?.() === 0 ? describe : describe.skip;

asRoot('a full disk', () => {
  let disk: string;
  let place: TestPlace;
  beforeEach(async () => {
    place = await TestPlace.make();
    disk = mkdtempSync(join(tmpdir(), 'lazydisk-small-'));
    mount('tmpfs', disk, 'tmpfs', 0, 'size=8m,mode=0700');
  });
  afterEach(async () => {
    await place.remove();
    umount2(disk, 0);
    rmdirSync(disk);
  });
  const open = async (quotaBytes: number | null): Promise<Mirror> =>
    place.open({ directory: join(disk, 'mirror'), quotaBytes });

  test('makes the mirror evict and go on, whatever its quota says', async () => {
    const chunks = place.source.addSegment('s', 1, 256); // 16 MiB on a disk of 8
    const mirror = await open(1024 * MIB);
    const map = mirror.createMap(CHUNK, 256);
    for (let first = 0; first < 256; first += 16) {
      const lease = await mirror.ensure(map, wanted(chunks.slice(first, first + 16), first), 'demand');
      for (let n = first; n < first + 16; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
      lease.release();
    }
    for (let n = 0; n < 256; n++) {
      const bytes = readChunk(mirror, map, n);
      if (bytes !== undefined) expect(holds(bytes, n + 1)).toBe(true);
    }
    expect(mirror.statistics().evictedChunks).toBeGreaterThan(0);
    expect(mirror.statistics().localBytes).toBeGreaterThan(0);
  });

  test('reads that can not be kept are still answered', async () => {
    const chunks = place.source.addSegment('s', 1, 256);
    const mirror = await open(1024 * MIB);
    const map = mirror.createMap(CHUNK, 256);
    const lease = await mirror.ensure(map, wanted(chunks), 'demand'); // all held at once: nothing may leave
    let transient = 0;
    for (let n = 0; n < 256; n++) {
      expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
      if (lease.transient(n) !== undefined) transient++;
    }
    expect(transient).toBeGreaterThan(100);
    lease.release();
  });

  test('an inserted chunk that can not be kept reaches who waits for it, whatever its maker writes there next', async () => {
    const [chunk] = place.source.addSegment('made', 200, 1);
    const others = place.source.addSegment('s', 1, 190);
    const mirror = await open(1024 * MIB);
    const all = await mirror.ensure(mirror.createMap(CHUNK, 190), wanted(others), 'demand'); // nothing may leave
    const map = mirror.createMap(CHUNK, 1);
    const bytes = Buffer.from(bytesOf(200));
    const inserting = mirror.insert(chunk!.id, bytes);
    const waiting = mirror.ensure(map, wanted([chunk!]), 'demand');
    await inserting;
    bytes.fill(0);
    const lease = await waiting;
    expect(lease.transient(0)).toBeDefined();
    expect(holds(readChunk(mirror, map, 0, lease), 200)).toBe(true);
    lease.release();
    all.release();
  });

  test('that others fill is freed by giveWay, and what is left after a start is right', async () => {
    const chunks = place.source.addSegment('s', 1, 96);
    const mirror = await open(1024 * MIB);
    const map = mirror.createMap(CHUNK, 96);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    const filler = join(disk, 'layer');
    expect(() => {
      writeFileSync(filler, Buffer.alloc(8 * MIB, 1));
    }).toThrow(/ENOSPC/);
    const before = statSync(filler).size;
    expect(await mirror.giveWay(MIB)).toBe(MIB);
    writeFileSync(filler, Buffer.alloc(MIB / 2, 2), { flag: 'a' });
    expect(statSync(filler).size).toBe(before + MIB / 2);
    await mirror.close();
    rmSync(filler);

    const again = await open(1024 * MIB);
    const other = again.createMap(CHUNK, 96);
    await again.publishLocal(other, wanted(chunks));
    for (let n = 0; n < 96; n++) {
      const bytes = readChunk(again, other, n);
      if (bytes !== undefined) expect(holds(bytes, n + 1)).toBe(true);
    }
    const lease = await again.ensure(other, wanted(chunks), 'demand');
    for (let n = 0; n < 96; n++) expect(holds(readChunk(again, other, n, lease), n + 1)).toBe(true);
    lease.release();
  });

  test('is kept from being full by the default quota', async () => {
    const chunks = place.source.addSegment('s', 1, 256);
    const mirror = await open(null);
    const map = mirror.createMap(CHUNK, 256);
    for (let n = 0; n < 256; n++) {
      (await mirror.ensure(map, wanted(chunks.slice(n, n + 1), n), 'demand')).release();
    }
    expect(mirror.statistics().localBytes).toBeLessThanOrEqual(8 * MIB);
    expect(place.log.lines).toEqual([]);
    expect(holds(readChunk(mirror, map, 255), 256)).toBe(true);
  });
});
