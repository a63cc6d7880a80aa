import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { LazydiskError, type ErrorCode } from '../../lib/util/errors.js';
import { exitStatusOf } from '../../mount/cli/exit-status.js';
import { answerTo } from '../../mount/fuse/errno.js';

const SOURCE = readFileSync('lib/util/errors.ts', 'utf8');
const CODES = [...SOURCE.matchAll(/^ {2}\| '([A-Z_]+)'/gm)].map(([, code]) => code as ErrorCode);
const ROWS = [...readFileSync('docs/OPERATIONS.md', 'utf8').matchAll(/^\| `([A-Z_]+)` \| (\d) \| ([A-Z]+) \|/gm)];

describe('the table of errors in docs/OPERATIONS.md', () => {
  test('has every code once', () => {
    expect(CODES.length).toBeGreaterThan(10);
    expect(ROWS.map(([, code]) => code).sort()).toEqual([...CODES].sort());
  });

  test.each(ROWS.map(([, code, status, errno]) => [code as ErrorCode, Number(status), errno] as const))(
    'says exit status and errno of %s as they are',
    (code, status, errno) => {
      const error = new LazydiskError(code, 'x');
      expect([exitStatusOf(error), answerTo(error).name]).toEqual([status, errno]);
    },
  );
});

test('docs/OPERATIONS.md says of every alert where to look', () => {
  const page = readFileSync('docs/OPERATIONS.md', 'utf8');
  const alerts = Array.from(
    readFileSync('examples/prometheus-alerts.yml', 'utf8').matchAll(/- alert: (\w+)/g),
    ([, alert]) => alert!,
  );
  const rows = page.split('\n').filter((line) => line.startsWith('| Lazydisk'));
  expect(rows.flatMap((row) => row.match(/Lazydisk\w+/g) ?? []).sort()).toEqual(alerts.sort());
});

test('every link within docs/OPERATIONS.md leads to a heading', () => {
  const page = readFileSync('docs/OPERATIONS.md', 'utf8');
  const headings = Array.from(page.matchAll(/^#+ (.*)$/gm), ([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );
  const links = Array.from(page.matchAll(/\]\(#([^)]+)\)/g), ([, anchor]) => anchor!);
  expect(links.length).toBeGreaterThan(5);
  expect(links.filter((anchor) => !headings.includes(anchor))).toEqual([]);
});
