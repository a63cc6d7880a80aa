import { expect, test } from '@jest/globals';
import type { Log } from '../../lib/util/log.js';
import { EarlyLog } from '../../mount/service/early-log.js';

test('what is said before the file is known is written when it is, in order, and what comes after at once', () => {
  const lines: unknown[] = [];
  const file: Log = {
    info: (...line) => lines.push(['info', ...line]),
    warn: (...line) => lines.push(['warn', ...line]),
    error: (...line) => lines.push(['error', ...line]),
  };
  const log = new EarlyLog();
  log.warn('first', { attempt: 1 });
  log.error('second');
  expect(lines).toEqual([]);
  log.continueIn(file);
  expect(lines).toEqual([
    ['warn', 'first', { attempt: 1 }],
    ['error', 'second', undefined],
  ]);
  log.info('third');
  expect(lines.at(-1)).toEqual(['info', 'third', undefined]);
});

test('a start that never comes to a file keeps a bounded number of lines', () => {
  const lines: string[] = [];
  const log = new EarlyLog();
  for (let line = 0; line < 1000; line++) log.info(String(line));
  log.continueIn({ info: (message) => lines.push(message), warn: () => undefined, error: () => undefined });
  expect(lines).toHaveLength(100);
  expect(lines[99]).toBe('99');
});
