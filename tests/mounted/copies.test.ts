import { describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { allocatedBytes, checksumOf, expectSameDu } from '../helpers/contents.js';
import { testWith } from '../helpers/driver.js';
import { commit, KIB, MIB, repositoryWithImage, SOME_EXTENTS } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { mustLazydisk } from '../helpers/program.js';
import { temporaryFolder } from '../helpers/temporary.js';

const CHUNK = 256 * KIB;

interface MappedRange {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
  readonly zero: boolean;
}

/** Where SEEK_DATA and SEEK_HOLE say that a file has data. */
async function dataRanges(path: string): Promise<[start: number, end: number][]> {
  const map = JSON.parse(await must('qemu-img', ['map', '-U', '-f', 'raw', '--output=json', path])) as MappedRange[];
  return map.filter((range) => range.data).map((range) => [range.start, range.start + range.length]);
}

const down = (offset: number, grain: number): number => Math.floor(offset / grain) * grain;
const up = (offset: number, grain: number): number => Math.ceil(offset / grain) * grain;

describe('sparse copies', () => {
  cleanUpAfter('each');

  test('cp --sparse=always out of the mount gives the same bytes and the same du as the original', async () => {
    const { repository, name, original } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const folder = temporaryFolder('copies');
    await must('cp', ['--sparse=always', original, join(folder, 'reference')]);

    for (const file of ['1.raw', 'disk.raw']) {
      const copy = join(folder, file);
      await must('cp', ['--sparse=always', mounted.path(name, file), copy]);
      expect(await checksumOf(copy)).toBe(await checksumOf(original));
      expectSameDu(await allocatedBytes(copy), await allocatedBytes(join(folder, 'reference')));
    }
  });

  test('export gives the same bytes and a file that is as sparse as the chunks are', async () => {
    const { repository, name, original } = await repositoryWithImage();
    const copy = join(temporaryFolder('copies'), 'exported.raw');
    await mustLazydisk(['export', repository.url, name, copy], { env: repository.env });
    expect(await checksumOf(copy)).toBe(await checksumOf(original));
    const slack = SOME_EXTENTS.length * CHUNK;
    expect(await allocatedBytes(copy)).toBeLessThanOrEqual((await allocatedBytes(original)) + slack);
  });

  test('cp and qemu-img convert into the mount allocate within one chunk per extent, before and after a commit', async () => {
    const { repository, original } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const sum = await checksumOf(original);
    const allocated = await allocatedBytes(original);
    const copies: [image: string, command: string, args: string[]][] = [
      ['with-cp', 'cp', ['--sparse=always', original]],
      ['with-convert', 'qemu-img', ['convert', '-f', 'raw', '-O', 'raw', original]],
    ];
    for (const [image, command, args] of copies) {
      await must('mkdir', [mounted.path(image, '')]);
      await must(command, [...args, mounted.path(image)]);
      expect(await checksumOf(mounted.path(image))).toBe(sum);
      // the layer holds what was written, in blocks
      expect(await allocatedBytes(mounted.path(image))).toBeLessThanOrEqual(allocated + SOME_EXTENTS.length * 8 * KIB);

      await commit(mounted, image);
      const slack = SOME_EXTENTS.length * CHUNK;
      for (const file of ['disk.raw', '1.raw']) {
        expect(await checksumOf(mounted.path(image, file))).toBe(sum);
        expect(await allocatedBytes(mounted.path(image, file))).toBeGreaterThanOrEqual(allocated);
        expect(await allocatedBytes(mounted.path(image, file))).toBeLessThanOrEqual(allocated + slack);
      }
    }
  });

  // S16
  testWith('hole seeking')(
    'SEEK_DATA and SEEK_HOLE tell data from zeros: in chunks for the base, in blocks for local writes',
    async () => {
      const { repository, name, sizeBytes } = await repositoryWithImage();
      const mounted = await mountRepository({ repository });
      const ofBase = SOME_EXTENTS.map(({ offset, lengthBytes }): [number, number] => [
        down(offset, CHUNK),
        Math.min(up(offset + lengthBytes, CHUNK), sizeBytes),
      ]);
      expect(await dataRanges(mounted.path(name, '1.raw'))).toEqual(ofBase);
      expect(await dataRanges(mounted.path(name))).toEqual(ofBase);
      expect((await mounted.status()).fetchedBytes).toBeLessThan(MIB); // nobody asked for data

      const io = ['write -P 1 8M 4k', 'write -P 2 10M 8k', 'discard 20M 256k'].flatMap((command) => ['-c', command]);
      await must('qemu-io', ['-f', 'raw', '-t', 'none', '-d', 'unmap', ...io, mounted.path(name)]);
      const [first, second, , fourth] = ofBase;
      expect(await dataRanges(mounted.path(name))).toEqual([
        first,
        second,
        [8 * MIB, 8 * MIB + 4 * KIB],
        [10 * MIB, 10 * MIB + 8 * KIB],
        fourth,
      ]);
    },
  );

  // S13
  testWith('hole seeking')('st_blocks counts what SEEK_DATA calls data', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    for (const file of ['1.raw', 'disk.raw']) {
      const ranges = await dataRanges(mounted.path(name, file));
      const data = ranges.reduce((sum, [start, end]) => sum + end - start, 0);
      expect(await allocatedBytes(mounted.path(name, file))).toBe(data);
    }
  });
});
