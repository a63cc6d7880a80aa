/** The disk that loses power, by itself: what may be gone, and what may not. */
import { expect, test } from '@jest/globals';
import { seededRandom } from '../helpers/seeded-random.js';
import { ROOT, SECTOR_BYTES, VolatileDisk } from './volatile-disk.js';

const filled = (byte: number, sectors = 1): Buffer => Buffer.alloc(sectors * SECTOR_BYTES, byte);

/** All first bytes of a file's sectors that are seen over many losses. */
function outcomes(disk: VolatileDisk, see: (survivor: VolatileDisk) => unknown): Set<string> {
  const random = seededRandom(1);
  const seen = new Set<string>();
  for (let round = 0; round < 500; round++) seen.add(JSON.stringify(see(disk.afterPowerLoss('any', random))));
  return seen;
}

test('what was synced is there; of what was written since, each sector is old or new by itself', () => {
  const disk = new VolatileDisk();
  const file = disk.make(ROOT, 'file', 'file');
  disk.write(file, 0, filled(1, 2));
  disk.sync(file);
  disk.sync(ROOT);
  disk.write(file, 0, filled(2, 2));
  const pair = (one: VolatileDisk): number[] => [one.read(file, 0, 1)[0]!, one.read(file, SECTOR_BYTES, 1)[0]!];
  expect(outcomes(disk, pair)).toEqual(new Set(['[1,1]', '[1,2]', '[2,1]', '[2,2]']));
  expect(pair(disk.afterPowerLoss('oldest', Math.random))).toEqual([1, 1]);
  expect(pair(disk.afterPowerLoss('newest', Math.random))).toEqual([2, 2]);
  disk.sync(file);
  expect(outcomes(disk, pair)).toEqual(new Set(['[2,2]']));
});

test('a name that was not synced may be gone with what was synced in its file, and a rename happens or not', () => {
  const disk = new VolatileDisk();
  const old = disk.make(ROOT, 'name', 'file');
  disk.write(old, 0, filled(1));
  disk.sync(old);
  disk.sync(ROOT);
  const next = disk.make(ROOT, 'name.new', 'file');
  disk.write(next, 0, filled(2));
  disk.sync(next);
  disk.rename(ROOT, 'name.new', ROOT, 'name');
  const content = (one: VolatileDisk): unknown[] => [
    one.read(one.lookup(ROOT, 'name'), 0, 1)[0],
    one.list(ROOT).map(([name]) => name),
  ];
  expect(outcomes(disk, content)).toEqual(new Set(['[1,["name"]]', '[1,["name","name.new"]]', '[2,["name"]]']));
});

test('punching, cutting and growing may be undone, and what reads as a hole is one', () => {
  const disk = new VolatileDisk();
  const file = disk.make(ROOT, 'file', 'file');
  disk.write(file, 0, filled(1, 16));
  disk.sync(file);
  disk.sync(ROOT);
  disk.punch(file, 0, 8 * SECTOR_BYTES);
  expect([disk.seek(file, 0, 'data'), disk.seek(file, 0, 'hole'), disk.seek(file, 4096, 'hole')]).toEqual([
    4096, 0, 8192,
  ]);
  disk.truncate(file, 100);
  disk.truncate(file, 8192);
  expect(disk.read(file, 0, 8192).equals(Buffer.alloc(8192))).toBe(true);
  expect(disk.allocatedBytes(file)).toBe(0);
  expect(outcomes(disk, (one) => one.sizeOf(file))).toEqual(new Set(['8192', '100']));
  expect(outcomes(disk, (one) => one.read(file, 0, 1)[0])).toEqual(new Set(['0', '1']));
});
