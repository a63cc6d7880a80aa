import { expect, test } from '@jest/globals';
import { failureOf } from './results.js';

test('a failure is one short line without the folders of the run', () => {
  const error = new Error('there is no /var/tmp/lazydisk-bench-aB3/mnt-4/disk.raw\n  at all');
  expect(failureOf(error)).toBe('there is no …/mnt-4/disk.raw at all');
  expect(failureOf('x'.repeat(1000))).toHaveLength(300);
});
