import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { parseTrace, touchedGrains } from './trace.js';

describe('a trace', () => {
  test('has the reads of its lines, in order, and nothing else', () => {
    const text = '# t_ms op offset len\n0.0 r 0 512\n1.5 w 4096 512\n2 r 8192 4096\n3 f 0 0\n';
    expect(parseTrace(text)).toEqual([
      { offset: 0, lengthBytes: 512 },
      { offset: 8192, lengthBytes: 4096 },
    ]);
  });

  test('touches each grain once, at its first read', () => {
    const reads = [
      { offset: 4000, lengthBytes: 200 },
      { offset: 0, lengthBytes: 1 },
      { offset: 8191, lengthBytes: 1 },
      { offset: 8192, lengthBytes: 4096 },
    ];
    expect(touchedGrains(reads, 4096)).toEqual([0, 1, 2]);
  });

  test('of the recorded boot has 1,808 reads in 346 grains of 256 KiB', () => {
    const reads = parseTrace(readFileSync('tests/fixtures/boot-trace.txt', 'utf8'));
    expect(reads).toHaveLength(1808);
    expect(touchedGrains(reads, 256 * 1024)).toHaveLength(346);
  });
});
