/** Parts of the page that need no browser: numbers in words, the grid of the map, the stream of events. */
import { describe, expect, test } from '@jest/globals';
import { EventParser } from '../../mount/dashboard/page/events.js';
import { bytes, count, milliseconds, percent, plural, since } from '../../mount/dashboard/page/format.js';
import { cellAfterKey, cellAt, layGrid } from '../../mount/dashboard/page/grid.js';

describe('numbers', () => {
  test.each([
    [0, '0 B'],
    [1023, '1 KiB'],
    [1536, '1.5 KiB'],
    [256 * 1024, '256 KiB'],
    [2 * 1024 ** 3, '2 GiB'],
    [309.4 * 1024 ** 2, '309 MiB'],
    [10.04 * 1024 ** 4, '10 TiB'],
  ])('%d bytes are %s', (value, text) => {
    expect(bytes(value)).toBe(text);
  });

  test('a share says all only when it is all, and none only when it is none', () => {
    expect([0, 0.001, 0.5, 0.999, 1].map(percent)).toEqual(['0 %', '< 1 %', '50 %', '99 %', '100 %']);
  });

  test('times have the unit that one would use', () => {
    expect([0.25, 12.4, 999, 1500, 61_000].map(milliseconds)).toEqual(['0.3 ms', '12 ms', '999 ms', '1.5 s', '61 s']);
    expect([0, 30_000, 120_000, 7_200_000, 864_000_000].map(since)).toEqual([
      'now',
      '30 s ago',
      '2 min ago',
      '2 h ago',
      '10 days ago',
    ]);
  });

  test('one of it is no plural', () => {
    expect([plural(1, 'chunk'), plural(2, 'chunk'), count(1_234_567)]).toEqual([
      '1 chunk',
      '2 chunks',
      '1\u2009234\u2009567',
    ]);
  });
});

describe('the grid', () => {
  test('rows have a power of two of cells and fill the frame', () => {
    const grid = layGrid(8192, 1100, 400);
    expect(grid.columns).toBe(128);
    expect(grid.rows).toBe(64);
    expect(grid.gutter + grid.columns * grid.pitchX).toBe(1100);
    expect(grid.height).toBe(400);
  });

  test('cells are never lower than they can be seen', () => {
    expect(layGrid(8192, 300, 100).pitchY).toBe(4);
  });

  test('every cell is found at its own place, and none beside it', () => {
    const grid = layGrid(1000, 700, 300);
    for (let cell = 0; cell < 1000; cell++) {
      const x = grid.gutter + ((cell % grid.columns) + 0.5) * grid.pitchX;
      const y = (Math.floor(cell / grid.columns) + 0.5) * grid.pitchY;
      expect(cellAt(grid, 1000, x, y)).toBe(cell);
    }
    expect(cellAt(grid, 1000, 10, 10)).toBeUndefined();
    expect(cellAt(grid, 1000, 699, grid.height + 1)).toBeUndefined();
  });

  test('arrow keys stay on the map', () => {
    expect(cellAfterKey('ArrowDown', 3, 100, 16)).toBe(19);
    expect(cellAfterKey('ArrowUp', 3, 100, 16)).toBe(3);
    expect(cellAfterKey('End', 3, 100, 16)).toBe(99);
    expect(cellAfterKey('ArrowRight', 99, 100, 16)).toBe(99);
    expect(cellAfterKey('Tab', 3, 100, 16)).toBeUndefined();
  });
});

test('events are whole however their text is cut', () => {
  const text = 'event: a\ndata: {"n":1}\n\nevent: b\ndata: "x"\n\n';
  for (let cut = 0; cut <= text.length; cut++) {
    const parser = new EventParser();
    const events = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))];
    expect(events).toEqual([
      { name: 'a', data: { n: 1 } },
      { name: 'b', data: 'x' },
    ]);
  }
});
