/** What a run is asked for: `ROUNDS=`, `QUICK=1`, `BENCH_OUT=` and the link's figures, from the environment. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

export interface BenchSettings {
  readonly rounds: number;
  /** One round, fewer peers, small sizes: to see that it works, not what it yields. */
  readonly quick: boolean;
  /** `ONLY=word`: only ways whose id has it; results then go to a folder of their own. */
  readonly only: string;
  /** Where the results of the parts lie, a JSON file each. */
  readonly outFolder: string;
  /** Images, uploads and other things that are made once. */
  readonly cacheFolder: string;
  readonly roundTripMs: number;
  readonly bytesPerSecond: number;
}

const DEFAULT_ROUNDS = 3;

export function readSettings(environment: Readonly<Record<string, string | undefined>>): BenchSettings {
  const quick = environment['QUICK'] === '1';
  const only = environment['ONLY'] ?? '';
  return {
    quick,
    rounds: positive(environment, 'ROUNDS', quick ? 1 : DEFAULT_ROUNDS),
    only,
    outFolder: resolve(
      environment['BENCH_OUT'] ?? `.cache/bench/${only === '' ? (quick ? 'quick' : 'results') : 'only'}`,
    ),
    cacheFolder: resolve('.cache/bench'),
    roundTripMs: positive(environment, 'ROUND_TRIP_MS', 20),
    bytesPerSecond: positive(environment, 'MB_PER_S', 100) * 1e6,
  };
}

/** The program under test. */
export function lazydiskProgram(): string {
  const path = resolve('dist/mount/cli/main.js');
  if (!existsSync(path)) throw new Error(`${path} is missing: run make build`);
  return path;
}

function positive(environment: Readonly<Record<string, string | undefined>>, name: string, otherwise: number): number {
  const text = environment[name];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`${name} has to be a number above 0, not ${JSON.stringify(text)}`);
}
