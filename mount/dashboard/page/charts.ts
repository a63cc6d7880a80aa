/** Which charts there are, and what each shows. */
import type { Sample } from '../protocol.js';
import { Chart, type ChartKind } from './chart.js';
import { element } from './dom.js';
import { bytesPerSecond, count, milliseconds } from './format.js';

const LEAST_BYTES = 64 * 1024;

const fetched = (sample: Sample): number =>
  sample.demandBytes + sample.readaheadBytes + sample.profileBytes + sample.fillBytes;

const KINDS: readonly ChartKind[] = [
  {
    title: 'Fetched from the store',
    shape: 'stack',
    leastTop: LEAST_BYTES,
    format: bytesPerSecond,
    series: [
      { label: 'a guest waits', color: 'fetching', value: ({ demandBytes }) => demandBytes },
      { label: 'readahead', color: 'local', value: ({ readaheadBytes }) => readaheadBytes },
      { label: 'boot profile', color: 'frozen', value: ({ profileBytes }) => profileBytes },
      { label: 'fill', color: 'remote', value: ({ fillBytes }) => fillBytes },
    ],
    headline: (sample) => ({ value: bytesPerSecond(sample === undefined ? 0 : fetched(sample)), note: 'compressed' }),
  },
  {
    title: 'Read from this host',
    shape: 'stack',
    leastTop: LEAST_BYTES,
    format: bytesPerSecond,
    series: [{ label: 'read', color: 'local', value: ({ localReadBytes }) => localReadBytes }],
    headline: (sample) => ({
      value: bytesPerSecond(sample?.localReadBytes ?? 0),
      note: `${count(sample?.localReads ?? 0)} reads/s`,
    }),
  },
  {
    title: 'Reads that waited for the store',
    shape: 'lines',
    leastTop: 16,
    format: milliseconds,
    series: [
      { label: 'half took less', color: 'local', value: ({ waitMedianMs }) => waitMedianMs },
      { label: '99 of 100 took less', color: 'dirty', value: ({ waitMostMs }) => waitMostMs },
    ],
    headline: (sample) =>
      sample === undefined || sample.waitMedianMs === null
        ? { value: 'none', note: 'now' }
        : { value: milliseconds(sample.waitMedianMs), note: `median of ${count(sample.waitedReads)} reads/s` },
  },
  {
    title: 'Written',
    shape: 'stack',
    leastTop: LEAST_BYTES,
    format: bytesPerSecond,
    series: [{ label: 'written', color: 'dirty', value: ({ writtenBytes }) => writtenBytes }],
    headline: (sample) => ({ value: bytesPerSecond(sample?.writtenBytes ?? 0), note: 'stays here until a commit' }),
  },
];

export class Charts {
  private readonly charts = KINDS.map((kind) => new Chart(kind));
  private samples: readonly Sample[] = [];

  constructor(private readonly keep: number) {
    element('charts').replaceChildren(...this.charts.map(({ root }) => root));
    this.add([]);
  }

  /** A stream that begins anew tells everything again. */
  clear(): void {
    this.samples = [];
  }

  add(samples: readonly Sample[]): void {
    this.samples = [...this.samples, ...samples].slice(-this.keep);
    for (const chart of this.charts) chart.show(this.samples);
  }
}
