/** fio jobs, and what their JSON says. */
import { must } from './workspace.js';

export interface FioJob {
  readonly path: string;
  readonly rw: 'randread' | 'randwrite' | 'read' | 'write';
  readonly blockBytes: number;
  readonly depth: number;
  readonly direct: boolean;
  readonly sizeBytes: number;
  /** Ends after this; without it, when every block was done once. */
  readonly seconds?: number;
  /** The most bytes it reads or writes. */
  readonly totalBytes?: number;
  /** Operations per second, at the most. */
  readonly rate?: number;
  /** Each write has other bytes, for a commit would make use of it if they repeated. It costs the writer time. */
  readonly newBytes?: boolean;
}

export interface FioResult {
  readonly operationsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly slowestMs: number;
}

export async function fio(job: FioJob): Promise<FioResult> {
  const { path, rw, blockBytes, depth, direct, sizeBytes, seconds, totalBytes, rate, newBytes = false } = job;
  const output = await must('fio', [
    ...[
      `--name=${rw}`,
      `--filename=${path}`,
      `--rw=${rw}`,
      `--bs=${String(blockBytes)}`,
      `--size=${String(sizeBytes)}`,
    ],
    ...['--ioengine=libaio', `--iodepth=${String(depth)}`, `--direct=${direct ? '1' : '0'}`, '--invalidate=0'],
    ...['--randrepeat=0', '--allow_file_create=0', '--output-format=json'],
    ...(newBytes ? ['--refill_buffers'] : []),
    ...(seconds === undefined ? [] : ['--time_based', `--runtime=${String(seconds * 1000)}ms`]),
    ...(totalBytes === undefined ? [] : [`--io_size=${String(totalBytes)}`]),
    ...(rate === undefined ? [] : [`--rate_iops=${String(rate)}`]),
  ]);
  return parseFio(output, rw);
}

/** From the JSON of one job. */
export function parseFio(output: string, rw: FioJob['rw']): FioResult {
  interface Side {
    readonly iops: number;
    readonly bw_bytes: number;
    readonly lat_ns: { readonly max: number };
  }
  // Notes may stand before the JSON.
  const document = JSON.parse(output.slice(output.indexOf('{'))) as {
    readonly jobs: readonly { readonly read: Side; readonly write: Side }[];
  };
  const [job] = document.jobs;
  if (job === undefined) throw new Error('fio told of no job');
  const side = rw.endsWith('read') ? job.read : job.write;
  return { operationsPerSecond: side.iops, bytesPerSecond: side.bw_bytes, slowestMs: side.lat_ns.max / 1e6 };
}
