import { describe, expect, test } from '@jest/globals';
import { NO_REQUESTS } from '../request-counter.js';
import type { AllResults } from '../results.js';
import { dollarsOf } from './cost.js';
import { withReport } from './document.js';
import { renderReport, spread } from './tables.js';

const run = {
  when: '2026-01-02T00:00:00.000Z',
  commit: 'abc123',
  machine: 'a machine',
  rounds: 2,
  quick: false,
  roundTripMs: 20,
  bytesPerSecond: 100e6,
  tookSeconds: 1,
};

describe('a report', () => {
  test('of nothing still has the table of ratios', () => {
    const report = renderReport({});
    expect(report).toContain('### What was to be reached');
    expect(report).not.toContain('### Hot');
  });

  test('says of a way that failed why it did, and leaves out no way', () => {
    const results: AllResults = {
      hot: {
        run,
        rows: [
          { way: 'raw', title: 'a file', test: 'read-1m', data: 'cached', perSecond: [2e9, 4e9] },
          { way: 'x', title: 'another', test: 'read-1m', data: 'cached', perSecond: [], failure: 'not installed' },
        ],
      },
    };
    const report = renderReport(results);
    expect(report).toContain('| a file | 3.0 (2.0–4.0) GB/s |');
    expect(report).toContain('| another | failed |');
    expect(report).toContain('\nFailed:\n\n- another: not installed');
    expect(report).toContain('2026-01-02, a machine, commit abc123, 2 rounds.');
  });

  test('shows a single round without a spread, and none as a dash', () => {
    expect([spread([1234.5], 1), spread([], 1), spread([1, 3], 0)]).toEqual(['1,234.5', '–', '2 (1–3)']);
  });

  test('counts lists as writes', () => {
    expect(dollarsOf({ ...NO_REQUESTS, gets: 1000 })).toBeCloseTo(0.0004);
    expect(dollarsOf({ ...NO_REQUESTS, lists: 500, puts: 500 })).toBeCloseTo(0.005);
  });
});

describe('a document', () => {
  const begin = '<!-- bench: begin (written by make bench-docs) -->';
  const end = '<!-- bench: end -->';

  test('keeps what is around the report, and loses the report before', () => {
    const document = `a\n${begin}\nold\n${end}\nb\n`;
    const once = withReport(document, 'new\n');
    expect(once).toBe(`a\n${begin}\n\nnew\n\n${end}\nb\n`);
    expect(withReport(once, 'new')).toBe(once);
  });

  test('without a place is refused', () => {
    expect(() => withReport(`${end} ${begin}`, 'new')).toThrow('no place');
    expect(() => withReport('', 'new')).toThrow('no place');
  });
});
