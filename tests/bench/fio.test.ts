import { expect, test } from '@jest/globals';
import { parseFio } from './fio.js';

const side = (iops: number): object => ({ iops, bw_bytes: iops * 4096, lat_ns: { max: iops * 1e6 } });

test('a result is that of the side that the job used, whatever stands before the JSON', () => {
  const output = `fio: a note\n${JSON.stringify({ jobs: [{ read: side(5), write: side(7) }] })}`;
  expect(parseFio(output, 'randread')).toEqual({ operationsPerSecond: 5, bytesPerSecond: 20480, slowestMs: 5 });
  expect(parseFio(output, 'write')).toEqual({ operationsPerSecond: 7, bytesPerSecond: 28672, slowestMs: 7 });
});
