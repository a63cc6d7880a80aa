/**
 * What the parts write and the report reads: a JSON file a part, so that parts can be run apart and at different times.
 *
 * A row that could not be measured is there all the same, with the reason in `failure`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { WayKind } from './cold/way.js';
import type { ImageName } from './images.js';
import type { RequestCounts } from './request-counter.js';
import type { BenchSettings } from './settings.js';
import { run } from './workspace.js';

/** Longer ones would make a table unreadable. */
const LONGEST_FAILURE = 300;

export type PartName = 'cold' | 'hot' | 'commit' | 'many';
export const PART_NAMES: readonly PartName[] = ['cold', 'hot', 'commit', 'many'];

/** Where and when a part was run. */
export interface RunFacts {
  /** ISO time of its end. */
  readonly when: string;
  readonly commit: string;
  readonly machine: string;
  readonly rounds: number;
  readonly quick: boolean;
  readonly roundTripMs: number;
  readonly bytesPerSecond: number;
  readonly tookSeconds: number;
}

export interface Traffic {
  readonly requests: RequestCounts;
  readonly connections: number;
  readonly bytesDown: number;
  readonly bytesUp: number;
}

export interface ColdRound extends Traffic {
  /** From the first command to an open file. */
  readonly openSeconds: number;
  /** From there to the answer of the last read. */
  readonly replaySeconds: number;
  readonly firstReadSeconds: number;
  readonly slowestReadSeconds: number;
}

export interface ColdRow {
  readonly image: ImageName;
  readonly way: string;
  readonly title: string;
  readonly kind: WayKind;
  readonly rounds: readonly ColdRound[];
  readonly failure?: string;
}

export interface ColdImage {
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  readonly zstdBytes: number;
  /** Bytes of the grains of 256 KiB that the trace touches and that are not all zero. */
  readonly uniqueBytes: number;
  /** The same grains, each compressed by itself with zstd where that makes it smaller. */
  readonly uniqueStoredBytes: number;
}

export interface ColdResults {
  readonly run: RunFacts;
  readonly images: Readonly<Record<ImageName, ColdImage>>;
  readonly rows: readonly ColdRow[];
  readonly idle: { readonly seconds: number; readonly traffic: Traffic } | { readonly failure: string };
}

/** One fio job on one way. */
export interface HotRow {
  readonly way: string;
  readonly title: string;
  readonly test: string;
  /** Where the data was: in the page cache, or only on the disk. */
  readonly data: 'cached' | 'disk';
  /** Operations per second, or bytes per second for tests of 1 MiB. */
  readonly perSecond: readonly number[];
  readonly failure?: string;
}

export interface HotResults {
  readonly run: RunFacts;
  readonly rows: readonly HotRow[];
}

export interface CommitRound {
  readonly seconds: number;
  /** The same bytes by a plain parallel upload, seconds. */
  readonly plainSeconds: number;
  readonly requests: number;
  readonly bytesUp: number;
  /** The longest write of a concurrent writer, ms, during the commit and without one. */
  readonly stallMs?: number;
  readonly tailMs?: number;
}

export interface CommitRow {
  readonly id: string;
  readonly title: string;
  /** What the guest or the file holds that has to go up. */
  readonly dirtyBytes: number;
  readonly rounds: readonly CommitRound[];
  readonly failure?: string;
}

export interface CloneRound {
  readonly cloneSeconds: number;
  readonly openSeconds: number;
  /** What the daemon's memory grew by at opening and reading a byte of the last chunk. */
  readonly openBytes: number;
}

export interface CloneRow {
  readonly id: string;
  readonly title: string;
  readonly rounds: readonly CloneRound[];
  readonly failure?: string;
}

export interface CommitResults {
  readonly run: RunFacts;
  /** The throughput of commits and, with `stallMs`, what they cost a writer. */
  readonly commits: readonly CommitRow[];
  readonly imports: readonly CommitRow[];
  readonly clones: readonly CloneRow[];
}

export interface ManyRound extends Traffic {
  /** From the start of all replays to the end of the last. */
  readonly seconds: number;
}

export type ManyVariant = 'fill-off' | 'default';

export interface ManyRow {
  readonly clones: number;
  /** `fill-off`: nothing in the background, so that bytes are those of the boots alone. `default`: as it comes. */
  readonly variant: ManyVariant;
  readonly rounds: readonly ManyRound[];
  readonly failure?: string;
}

export interface ManyResults {
  readonly run: RunFacts;
  readonly rows: readonly ManyRow[];
}

export interface AllResults {
  readonly cold?: ColdResults;
  readonly hot?: HotResults;
  readonly commit?: CommitResults;
  readonly many?: ManyResults;
}

export async function writeResults(folder: string, part: PartName, results: { run: RunFacts }): Promise<void> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${part}.json`);
  await writeFile(`${path}.tmp`, `${JSON.stringify(results, null, 1)}\n`);
  await rename(`${path}.tmp`, path);
}

/** The parts that have been run. */
export function readResults(folder: string): AllResults {
  const found = PART_NAMES.map((part) => [part, join(folder, `${part}.json`)] as const).filter(([, path]) =>
    existsSync(path),
  );
  return Object.fromEntries(found.map(([part, path]) => [part, JSON.parse(readFileSync(path, 'utf8')) as unknown]));
}

/** `beganMs`: performance.now() at the part's start. */
export async function runFacts(settings: BenchSettings, beganMs: number): Promise<RunFacts> {
  const { stdout: commit } = await run('git', ['rev-parse', '--short=12', 'HEAD']);
  const { stdout: changes } = await run('git', ['status', '--porcelain', 'lib', 'mount']);
  const gib = Math.round(totalmem() / 1024 ** 3);
  const { quick, rounds, roundTripMs, bytesPerSecond } = settings;
  return {
    when: new Date().toISOString(),
    commit: `${commit.trim() || 'unknown'}${changes.trim() === '' ? '' : ' with changes'}`,
    machine: `${String(cpus().length)} cores, ${String(gib)} GiB, Linux ${release().replace(/-.*/, '')}, Node ${process.versions.node}`,
    ...{ rounds, quick, roundTripMs, bytesPerSecond },
    tookSeconds: (performance.now() - beganMs) / 1000,
  };
}

/** The sentence that a failed row carries: one line, without the folders of this run. */
export function failureOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message
    .replace(/\s+/g, ' ')
    .replace(/\/\S*\/lazydisk-bench-\w+/g, '…')
    .slice(0, LONGEST_FAILURE);
}
