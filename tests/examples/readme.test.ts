import { expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';

const README = readFileSync('README.md', 'utf8');
const PERFORMANCE = readFileSync('docs/PERFORMANCE.md', 'utf8');

/** The cells of a table's rows, by their first cell. */
function rowsOf(text: string): Map<string, string[]> {
  const rows = text.split('\n').flatMap((line) => {
    const cells = /^\| (.*) \|$/.exec(line)?.[1]?.split(' | ');
    return cells === undefined ? [] : [cells];
  });
  return new Map(rows.map(([name = '', ...cells]) => [name, cells]));
}

/** `1.65 (1.64–1.67)`: the median. */
function median(cell = ''): number {
  return Number(cell.replace(/ .*/, '').replaceAll(',', ''));
}

/** What the benchmark has found for a way: seconds in all, and MB, as README rounds them. */
function measured(image: string, way: string): string {
  const [, table = ''] = PERFORMANCE.split(`The ${image} image: `);
  const [, , seconds, , , megabytes] =
    rowsOf(table.split('\nThe large image')[0]?.split('\n### ')[0] ?? '').get(way) ?? [];
  return `${(Math.round(median(seconds) * 10) / 10).toFixed(1)} s, ${Math.round(median(megabytes)).toLocaleString('en-US')} MB`;
}

test('the cold figures of README are those of the last benchmark', () => {
  const [, part = ''] = README.split('until the last one is answered');
  const rows = [...rowsOf((part.split('\n## ')[0] ?? '').replaceAll('**', ''))].filter(([, cells]) =>
    / s, .* MB$/.test(cells[0] ?? ''),
  );
  expect(rows).toHaveLength(8);
  for (const [name, cells] of rows) {
    const way = name.replace(/ \(.*\)$/, '');
    expect([way, ...cells]).toEqual([way, measured('small', way), measured('large', way)]);
  }
});

test('more than four times the reads and twice the writes of the best C export are what the last benchmark has found', () => {
  expect(README.replaceAll(/\s+/g, ' ')).toContain('more than four times the random 4 KiB reads and twice the writes');
  const [, part = ''] = PERFORMANCE.split('Data in the page cache:\n');
  const rows = rowsOf(part.split('\nData only')[0] ?? '');
  const [own, others] = ['lazydisk', 'qemu-storage-daemon, FUSE export'].map((way) =>
    (rows.get(way) ?? []).map(median),
  );
  // 4 KiB at a depth of 32.
  expect(own![1]! / others![1]!).toBeGreaterThan(4);
  expect(own![4]! / others![4]!).toBeGreaterThan(2);
});
