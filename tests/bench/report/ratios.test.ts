import { describe, expect, test } from '@jest/globals';
import { NO_REQUESTS } from '../request-counter.js';
import type { AllResults, ColdResults, ColdRow, HotResults, RunFacts } from '../results.js';
import { computeRatios, type Ratio } from './ratios.js';

const run: RunFacts = {
  when: '2026-01-01T00:00:00.000Z',
  commit: 'abc',
  machine: 'a machine',
  rounds: 3,
  quick: false,
  roundTripMs: 20,
  bytesPerSecond: 100e6,
  tookSeconds: 1,
};

function coldRow(
  image: 'small' | 'large',
  way: string,
  kind: ColdRow['kind'],
  totals: readonly number[],
  bytesDown = 0,
): ColdRow {
  const rounds = totals.map((total) => ({
    ...{ openSeconds: 0.25, replaySeconds: total - 0.25, firstReadSeconds: 0, slowestReadSeconds: 0 },
    ...{ requests: NO_REQUESTS, connections: 1, bytesDown, bytesUp: 0 },
  }));
  return { image, way, title: `the way ${way}`, kind, rounds };
}

function coldResults(rows: readonly ColdRow[]): ColdResults {
  const image = { sizeBytes: 2e9, allocatedBytes: 3e8, zstdBytes: 1e8, uniqueBytes: 90e6, uniqueStoredBytes: 42e6 };
  return { run, images: { small: image, large: image }, rows, idle: { failure: 'not here' } };
}

function find(results: AllResults, start: string): Ratio {
  const found = computeRatios(results).filter(({ what }) => what.startsWith(start));
  expect(found).toHaveLength(1);
  return found[0] as Ratio;
}

function hotResults(figures: Readonly<Record<string, readonly number[]>>, test = 'randread-qd32'): HotResults {
  const rows = Object.entries(figures).map(([way, perSecond]) => ({
    ...{ way, title: `the way ${way}`, test, data: 'cached' as const, perSecond },
  }));
  return { run, rows };
}

const ON_DEMAND = 'boot trace, no profile, against the best on-demand neighbour, small image';

describe('the table of ratios', () => {
  test('has every ratio when nothing was run, and says what to run', () => {
    const ratios = computeRatios({});
    expect(ratios.length).toBeGreaterThan(25);
    expect(ratios.every(({ reached }) => reached === 'not measured')).toBe(true);
    expect(new Set(ratios.map(({ measured }) => measured))).toEqual(
      new Set(['cold', 'hot', 'commit', 'many'].map((part) => `make bench-${part} was not run`)),
    );
    expect(new Set(ratios.map(({ what }) => what)).size).toBe(ratios.length);
  });

  test('compares medians of the whole time, and with the fastest neighbour', () => {
    const cold = coldResults([
      coldRow('small', 'ours', 'ours', [1.5, 9, 1.4]),
      coldRow('small', 's3backer', 'on-demand', [4.5, 4.4, 99]),
      coldRow('small', 'slow', 'on-demand', [30]),
      coldRow('small', 'local', 'local', [0.1]),
    ]);
    expect(find({ cold }, ON_DEMAND)).toMatchObject({
      measured: '3.0 × (1.50 s; the way s3backer 4.50 s)',
      reached: 'yes',
    });
  });

  test('says no just below a target', () => {
    const rows = [coldRow('small', 'ours', 'ours', [1.5]), coldRow('small', 's3backer', 'on-demand', [4.49])];
    expect(find({ cold: coldResults(rows) }, ON_DEMAND).reached).toBe('no');
  });

  test('does not believe a row of ours that failed in a later round, and passes on its reason', () => {
    const ours = { ...coldRow('small', 'ours', 'ours', [1]), failure: 'it broke' };
    const cold = coldResults([ours, coldRow('small', 's3backer', 'on-demand', [4])]);
    expect(find({ cold }, ON_DEMAND)).toMatchObject({
      measured: 'the way ours failed: it broke',
      reached: 'not measured',
    });
  });

  test('compares with the neighbours that are left when one fails', () => {
    const failed = { ...coldRow('small', 'nbdkit', 'on-demand', []), failure: 'not installed' };
    const rows = [coldRow('small', 'ours', 'ours', [1]), failed, coldRow('small', 's3backer', 'on-demand', [4])];
    expect(find({ cold: coldResults(rows) }, ON_DEMAND).reached).toBe('yes');
  });

  test("holds the profile's time against the bytes that are needed, the link's rate and four round trips", () => {
    // 42 MB at 100 MB/s and 80 ms: 0.5 s.
    const within = coldResults([coldRow('large', 'ours-profile', 'ours', [0.75])]);
    const what = 'with a profile, against 1.5 × (stored bytes needed / bandwidth + 4 round trips), large image';
    expect(find({ cold: within }, what)).toMatchObject({ measured: '1.50 × (0.75 s of 0.50 s)', reached: 'yes' });
    const beyond = coldResults([coldRow('large', 'ours-profile', 'ours', [0.76])]);
    expect(find({ cold: beyond }, what).reached).toBe('no');
  });

  test('holds wire bytes against the bytes of the touched grains', () => {
    const cold = coldResults([coldRow('small', 'ours-profile', 'ours', [1], 72e6)]);
    const what =
      'bytes on the wire until the end of the boot with a profile, against unique bytes in 256 KiB grains, small';
    expect(find({ cold }, what)).toMatchObject({ measured: '0.80 × (72.0 MB of 90.0 MB)', reached: 'yes' });
  });

  test('takes the better of two neighbours in the hot part', () => {
    const hot = hotResults({ ours: [300], 'qemu-storage-daemon': [100, 220, 200], nbdfuse: [50] });
    expect(find({ hot }, 'the same against the best of qemu-storage-daemon')).toMatchObject({
      measured: '1.50 × (300; the way qemu-storage-daemon 200)',
      reached: 'yes',
    });
  });

  test('is not fooled by a zero', () => {
    const hot = hotResults({ ours: [300], 'fuse-native-passthrough': [0] });
    expect(find({ hot }, '4k randread qd32, local, in the page cache').reached).toBe('not measured');
  });

  test('compares an upload with its plain rival round by round', () => {
    const rounds = [
      { seconds: 1, plainSeconds: 0.95, requests: 1, bytesUp: 1 },
      { seconds: 10, plainSeconds: 9.1, requests: 1, bytesUp: 1 },
      { seconds: 2, plainSeconds: 1, requests: 1, bytesUp: 1 },
    ];
    const commits = [{ id: 'run', title: 'a run', dirtyBytes: 1, rounds }];
    const results = { commit: { run, commits, imports: [], clones: [] } };
    const what = 'commit throughput against a plain parallel upload of the same bytes, one run of writes';
    const found = computeRatios(results).find((ratio) => ratio.what === what);
    expect(found).toMatchObject({ measured: '0.91 × (2.00 s; plain 1.00 s)', reached: 'yes' });
  });

  test('counts a stall beyond the tail, and a clone beyond two round trips', () => {
    const rounds = [{ seconds: 1, plainSeconds: 1, requests: 1, bytesUp: 1, stallMs: 30, tailMs: 10.5 }];
    const commits = [{ id: 'writer', title: 'beside a writer', dirtyBytes: 1, rounds }];
    const clones = [
      { id: 'tib', title: '1 TiB', rounds: [{ cloneSeconds: 0.09, openSeconds: 0.5, openBytes: 1024 ** 2 * 120 }] },
    ];
    const results = { commit: { run, commits, imports: [], clones } };
    expect(find(results, 'longest stall')).toMatchObject({ reached: 'yes' });
    expect(find(results, 'clone of an image of 1 TiB')).toMatchObject({
      measured: '50 ms (90 ms in all)',
      reached: 'no',
    });
    expect(find(results, 'open of 1 TiB and its first read: seconds').reached).toBe('yes');
    expect(find(results, 'open of 1 TiB and its first read: memory').reached).toBe('no');
  });

  test('compares the bytes of eight clones with those of one', () => {
    const round = { seconds: 1, requests: NO_REQUESTS, connections: 1, bytesUp: 0 };
    const row = (clones: number, bytesDown: number) => ({
      clones,
      variant: 'fill-off' as const,
      rounds: [{ ...round, bytesDown }],
    });
    const many = { run, rows: [row(1, 100e6), row(8, 106e6)] };
    expect(find({ many }, '8 clones booting at once: bytes on the wire against one, nothing')).toMatchObject({
      measured: '1.06 × (106.0 MB of 100.0 MB)',
      reached: 'no',
    });
  });
});
