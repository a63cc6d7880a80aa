import { describe, expect, test } from '@jest/globals';
import { statusFrame, type Moment } from '../../mount/cli/status-frame.js';
import type { HeldImage } from '../../mount/tree/held-images.js';
import type { MountGlance } from '../../mount/tree/status-schema.js';
import { treeFixture } from '../helpers/tree-fixture.js';

const ROOM = { columns: 120, rows: 30 };
const GIB = 1024 ** 3;

const IMAGE: HeldImage = {
  image: 'vm',
  sizeBytes: 2 * GIB,
  localBytes: GIB / 4,
  missingBytes: (GIB * 3) / 4,
  dirtyBytes: 0,
  layerAllocatedBytes: 0,
  layers: 1,
  oldestUncommittedMs: null,
  openCount: 0,
  committing: false,
  failure: null,
};

async function moment(changes: Partial<MountGlance> = {}, atMs = 100_000): Promise<Moment> {
  const glance = await (await treeFixture()).tree.glance();
  return { glance: { ...glance, startedMs: 40_000, lastStoreError: null, ...changes }, atMs };
}

function rowsOf(lines: readonly string[]): string[][] {
  return lines.slice(lines.findIndex((line) => line.startsWith('IMAGE'))).map((line) => line.split(/ {2,}/));
}

describe('a picture of a mount', () => {
  test('says what is mounted where, how it does, and for how long', async () => {
    const [first] = statusFrame(await moment(), undefined, ROOM);
    expect(first).toBe('file:///images on /mnt: ok, up for 1 min 0 s');
    const [away] = statusFrame(await moment({ health: 'offline', lastStoreAnswerMs: 70_000 }), undefined, ROOM);
    expect(away).toBe('file:///images on /mnt: offline (no answer for 30.0 s), up for 1 min 0 s');
  });

  test.each([
    [59_900, '59.9 s'],
    [3_599_400, '59 min 59 s'],
    [3_600_000, '1 h 0 min'],
    [86_399_000, '23 h 59 min'],
    [9 * 86_400_000 + 3 * 3_600_000, '9 d 3 h'],
  ])('tells %i ms as %s', async (upMs, text) => {
    const [first] = statusFrame(await moment({ startedMs: 0 }, upMs), undefined, ROOM);
    expect(first).toBe(`file:///images on /mnt: ok, up for ${text}`);
  });

  test('has rates from the second picture on, and none across daemons', async () => {
    const before = await moment({ hits: 100, fetchedBytes: 0, storeRequests: 9 });
    const now = await moment({ hits: 2100, fetchedBytes: 4096, storeRequests: 10 }, 102_000);
    const text = statusFrame(now, before, ROOM).join('\n');
    expect(text).toMatch(/^reads +1000\/s from here +0\/s chunks fetched +8 wait$/m);
    expect(text).toMatch(/^store +0.5\/s requests +2 KiB\/s fetched/m);
    expect(statusFrame(now, undefined, ROOM).join('\n')).toContain('-/s from here');
    const hanging = { ...now, glance: { ...now.glance, longestWaitingReadMs: 61_000 } };
    expect(statusFrame(hanging, before, ROOM).join('\n')).toContain('8 wait, up to 1 min 1 s');
    const another = { ...before, glance: { ...before.glance, startedMs: 1 } };
    expect(statusFrame(now, another, ROOM).join('\n')).toContain('-/s from here');
  });

  test('has a line for each image, those in trouble and at work first', async () => {
    const images = [
      IMAGE,
      { ...IMAGE, image: 'dirty', dirtyBytes: 4096, oldestUncommittedMs: 70_000, openCount: 2 },
      { ...IMAGE, image: 'busy', committing: true, missingBytes: 0 },
      { ...IMAGE, image: 'broken', failure: 'The disk\u001b[2J failed.\n' },
    ];
    expect(rowsOf(statusFrame(await moment({ images }), undefined, ROOM))).toEqual([
      ['IMAGE', 'SIZE', 'HERE', 'DIRTY', 'SINCE', 'OPEN', 'NOTE'],
      ['broken', '2 GiB', '██░░░░░░░░', '25 %', '-', '-', '-', 'The disk\\u001b[2J failed.\\n'],
      ['busy', '2 GiB', '██████████', '100 %', '-', '-', '-', 'is being committed'],
      ['dirty', '2 GiB', '██░░░░░░░░', '25 %', '4 KiB', '30.0 s', '2'],
      ['vm', '2 GiB', '██░░░░░░░░', '25 %', '-', '-', '-'],
    ]);
  });

  test('shows commands that run, and the last error with its age', async () => {
    const running = [{ id: '1', command: 'commit vm', image: 'vm', startedAt: new Date(95_000).toISOString() }];
    const lastStoreError = { message: 'slow down', timeMs: 10_000 };
    const lines = statusFrame(await moment({ running, lastStoreError }), undefined, ROOM);
    expect(lines).toContain('running 5.0 s: commit vm');
    expect(lines).toContain('last error, 1 min 30 s ago: slow down');
    expect(lines.at(-1)).toBe('No disk is open here or has local writes.');
  });

  test.each([
    [24, 80],
    [10, 40],
    [3, 10],
  ])('fits %i rows and %i columns', async (rows, columns) => {
    const images = Array.from({ length: 100 }, (_, at) => ({ ...IMAGE, image: `vm-${String(at)}` }));
    const lines = statusFrame(await moment({ images }), undefined, { rows, columns });
    expect(lines.length).toBe(rows);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
    if (rows === 24) expect(lines.at(-1)).toMatch(/^and \d+ more$/);
  });
});
