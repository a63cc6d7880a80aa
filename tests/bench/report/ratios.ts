/**
 * The ratios that the project promises, computed from the results of the parts. Pure.
 *
 * The table is always complete: a ratio whose parts are missing or failed is a row that says which. All values are of medians
 * of the same run; where several neighbours are asked for, the best one counts.
 */
import type { AllResults, ColdResults, ColdRow, CommitRow, HotResults, ManyVariant } from '../results.js';
import type { ImageName } from '../images.js';
import { summarise } from '../statistics.js';

export interface Ratio {
  readonly what: string;
  /** In words: `at least 3 times faster`. */
  readonly target: string;
  /** What was measured, in words; or why it could not be. */
  readonly measured: string;
  readonly reached: 'yes' | 'no' | 'not measured';
}

/** A computed figure, and the words for it. */
interface Figure {
  readonly value: number;
  readonly words: string;
}

/** Why a figure is not there. */
class Missing extends Error {}

/** One line of the table: how to get its figure, and when that is good. */
interface Rule {
  readonly what: string;
  readonly target: string;
  readonly figure: (results: AllResults) => Figure;
  readonly isReached: (value: number) => boolean;
}

const atLeast =
  (limit: number): Rule['isReached'] =>
  (value) =>
    value >= limit;
const atMost =
  (limit: number): Rule['isReached'] =>
  (value) =>
    value <= limit;
const under =
  (limit: number): Rule['isReached'] =>
  (value) =>
    value < limit;

const ONE_MIB = 1024 ** 2;
const IMAGES: readonly ImageName[] = ['small', 'large'];

const RULES: readonly Rule[] = [
  ...IMAGES.map((image) => ({
    what: `boot trace, no profile, against the best on-demand neighbour, ${image} image`,
    target: 'at least 3 times faster',
    figure: (results: AllResults) => fasterThanBest(cold(results), image, 'ours'),
    isReached: atLeast(3),
  })),
  {
    what: 'the same against the compressed whole download, small image',
    target: 'not slower',
    figure: (results) => fasterThan(cold(results), 'small', 'ours', 'download-zstd'),
    isReached: atLeast(1),
  },
  ...IMAGES.map((image) => ({
    what: `with a profile, against 1.5 × (stored bytes needed / bandwidth + 4 round trips), ${image} image`,
    target: 'within',
    figure: (results: AllResults) => profileBound(cold(results), image),
    isReached: atMost(1.5),
  })),
  ...IMAGES.map((image) => ({
    what: `with a profile, against the best on-demand neighbour, ${image} image`,
    target: 'at least 7 times faster',
    figure: (results: AllResults) => fasterThanBest(cold(results), image, 'ours-profile'),
    isReached: atLeast(7),
  })),
  {
    what: 'with a profile, against the compressed whole download, small image',
    target: 'at least 2 times faster',
    figure: (results) => fasterThan(cold(results), 'small', 'ours-profile', 'download-zstd'),
    isReached: atLeast(2),
  },
  {
    what: 'with a profile, against the compressed whole download, large image',
    target: 'at least 50 times faster',
    figure: (results) => fasterThan(cold(results), 'large', 'ours-profile', 'download-zstd'),
    isReached: atLeast(50),
  },
  ...IMAGES.map((image) => ({
    what: `bytes on the wire until the end of the boot with a profile, against unique bytes in 256 KiB grains, ${image} image`,
    target: 'at most 0.8 ×',
    figure: (results: AllResults) => wireShare(cold(results), image),
    isReached: atMost(0.8),
  })),
  ...(['fill-off', 'default'] as const).map((variant) => ({
    what: `8 clones booting at once: bytes on the wire against one${variant === 'fill-off' ? ', nothing in the background' : ', as it comes'}`,
    target: 'at most 1.05 ×',
    figure: (results: AllResults) => manyBytes(results, variant),
    isReached: atMost(1.05),
  })),
  {
    what: '4k randread qd32, local, in the page cache, kernel driver against a fuse-native passthrough',
    target: 'at least 12 ×',
    figure: (results) => hotRatio(hot(results), 'cached', 'randread-qd32', 'ours', ['fuse-native-passthrough']),
    isReached: atLeast(12),
  },
  {
    what: 'the same against the best of qemu-storage-daemon and nbdfuse',
    target: 'at least 1.5 ×',
    figure: (results) => hotRatio(hot(results), 'cached', 'randread-qd32', 'ours', ['qemu-storage-daemon', 'nbdfuse']),
    isReached: atLeast(1.5),
  },
  {
    what: '1 MiB reads qd8, local, in the page cache, against the best of qemu-storage-daemon and nbdfuse',
    target: 'at least 2 ×',
    figure: (results) => hotRatio(hot(results), 'cached', 'read-1m', 'ours', ['qemu-storage-daemon', 'nbdfuse']),
    isReached: atLeast(2),
  },
  {
    what: '1 MiB reads qd8, local, in the page cache, against the raw file read from the page cache',
    target: 'at least 0.4 ×',
    figure: (results) => hotRatio(hot(results), 'cached', 'read-1m', 'ours', ['raw']),
    isReached: atLeast(0.4),
  },
  {
    what: '4k randwrite qd32 against the raw file written through the page cache',
    target: 'at least 0.5 ×',
    figure: (results) => hotRatio(hot(results), 'cached', 'randwrite-qd32', 'ours', ['raw']),
    isReached: atLeast(0.5),
  },
  {
    what: '4k randread qd32, data on disk, a local read-only snapshot, against the raw file with O_DIRECT',
    target: 'at least 0.85 ×',
    figure: (results) => hotRatio(hot(results), 'disk', 'randread-qd32', 'ours-flat', ['raw-direct']),
    isReached: atLeast(0.85),
  },
  ...(
    [
      ['run', 'one run of writes'],
      ['scattered', 'scattered 4 KiB writes'],
      ['run-link', 'one run of writes, over the link'],
      ['scattered-link', 'scattered 4 KiB writes, over the link'],
    ] as const
  ).map(([id, name]) => ({
    what: `commit throughput against a plain parallel upload of the same bytes, ${name}`,
    target: 'at least 0.9 ×',
    figure: (results: AllResults) => uploadRatio(commit(results).commits, id),
    isReached: atLeast(0.9),
  })),
  {
    what: 'longest stall of a concurrent writer during a commit, beyond its normal tail',
    target: 'under 20 ms',
    figure: (results) => stall(commit(results).commits),
    isReached: under(20),
  },
  ...(['gib', 'tib'] as const).map((id) => ({
    what: `clone of an image of ${id === 'gib' ? '1 GiB' : '1 TiB'}, beyond two round trips`,
    target: 'under 50 ms',
    figure: (results: AllResults) => cloneTime(results, id),
    isReached: under(50),
  })),
  {
    what: 'open of 1 TiB and its first read: seconds',
    target: 'under 1 s',
    figure: (results) => openOf(results, ({ openSeconds }) => openSeconds, ' s', 2),
    isReached: under(1),
  },
  {
    what: 'open of 1 TiB and its first read: memory',
    target: 'under 100 MiB',
    figure: (results) => openOf(results, ({ openBytes }) => openBytes / ONE_MIB, ' MiB', 0),
    isReached: under(100),
  },
  {
    what: 'import of the guest image against a plain parallel upload of its allocated bytes',
    target: 'at least 0.9 ×',
    figure: (results) => uploadRatio(commit(results).imports, 'import'),
    isReached: atLeast(0.9),
  },
];

/** Every ratio with its target, in the order in which they were promised. */
export function computeRatios(results: AllResults): Ratio[] {
  return RULES.map(({ what, target, figure, isReached }) => {
    try {
      const { value, words } = figure(results);
      if (!Number.isFinite(value)) throw new Missing('a figure is zero');
      return { what, target, measured: words, reached: isReached(value) ? 'yes' : 'no' };
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      return { what, target, measured: error.message, reached: 'not measured' };
    }
  });
}

/** Seconds from the first command to the end of the replay: the median of a row's rounds. */
export function totalSeconds(row: ColdRow): number | undefined {
  return summarise(row.rounds.map(({ openSeconds, replaySeconds }) => openSeconds + replaySeconds))?.median;
}

/** The on-demand neighbour that was fastest on an image. */
export function bestNeighbour(results: ColdResults, image: ImageName): ColdRow | undefined {
  return results.rows
    .filter((row) => row.image === image && row.kind === 'on-demand' && totalSeconds(row) !== undefined)
    .sort((a, b) => (totalSeconds(a) ?? 0) - (totalSeconds(b) ?? 0))[0];
}

function cold({ cold: results }: AllResults): ColdResults {
  return results ?? missing('make bench-cold was not run');
}

function hot({ hot: results }: AllResults): HotResults {
  return results ?? missing('make bench-hot was not run');
}

function commit({ commit: results }: AllResults): NonNullable<AllResults['commit']> {
  return results ?? missing('make bench-commit was not run');
}

function coldSeconds(results: ColdResults, image: ImageName, way: string): { row: ColdRow; seconds: number } {
  const row = results.rows.find((candidate) => candidate.image === image && candidate.way === way);
  if (row === undefined) return missing(`${way} was not run on the ${image} image`);
  const seconds = totalSeconds(row);
  // A row whose first round is good and whose second failed is not to be believed.
  if (row.failure !== undefined || seconds === undefined) return missing(`${row.title} failed: ${row.failure ?? ''}`);
  return { row, seconds };
}

function speed(mine: number, theirs: number, whom: string): Figure {
  const value = theirs / mine;
  return { value, words: `${value.toFixed(1)} × (${mine.toFixed(2)} s; ${whom} ${theirs.toFixed(2)} s)` };
}

function fasterThanBest(results: ColdResults, image: ImageName, way: string): Figure {
  const { seconds } = coldSeconds(results, image, way);
  const best = bestNeighbour(results, image);
  if (best === undefined) return missing(`no on-demand neighbour could be measured on the ${image} image`);
  return speed(seconds, totalSeconds(best) ?? NaN, best.title);
}

function fasterThan(results: ColdResults, image: ImageName, way: string, other: string): Figure {
  const theirs = coldSeconds(results, image, other);
  return speed(coldSeconds(results, image, way).seconds, theirs.seconds, theirs.row.title);
}

function profileBound(results: ColdResults, image: ImageName): Figure {
  const { seconds } = coldSeconds(results, image, 'ours-profile');
  const { bytesPerSecond, roundTripMs } = results.run;
  const floor = results.images[image].uniqueStoredBytes / bytesPerSecond + (4 * roundTripMs) / 1000;
  const value = seconds / floor;
  return { value, words: `${value.toFixed(2)} × (${seconds.toFixed(2)} s of ${floor.toFixed(2)} s)` };
}

function wireShare(results: ColdResults, image: ImageName): Figure {
  const { row } = coldSeconds(results, image, 'ours-profile');
  const bytes = medianOf(row.rounds.map(({ bytesDown }) => bytesDown));
  const { uniqueBytes } = results.images[image];
  const value = bytes / uniqueBytes;
  return { value, words: `${value.toFixed(2)} × (${megabytes(bytes)} of ${megabytes(uniqueBytes)})` };
}

function manyBytes({ many }: AllResults, variant: ManyVariant): Figure {
  if (many === undefined) return missing('make bench-many was not run');
  const bytesOf = (clones: number): number => {
    const row = many.rows.find((candidate) => candidate.clones === clones && candidate.variant === variant);
    if (row === undefined) return missing(`${String(clones)} at once was not run`);
    if (row.failure !== undefined) return missing(`${String(clones)} at once failed: ${row.failure}`);
    return medianOf(row.rounds.map(({ bytesDown }) => bytesDown));
  };
  const [one, eight] = [bytesOf(1), bytesOf(8)];
  const value = eight / one;
  return { value, words: `${value.toFixed(2)} × (${megabytes(eight)} of ${megabytes(one)})` };
}

function hotRatio(
  results: HotResults,
  data: 'cached' | 'disk',
  test: string,
  way: string,
  others: readonly string[],
): Figure {
  const medianFor = (id: string): { title: string; median: number } => {
    const row = results.rows.find(
      (candidate) => candidate.way === id && candidate.test === test && candidate.data === data,
    );
    if (row === undefined) return missing(`${id} was not run`);
    if (row.failure !== undefined) return missing(`${row.title} failed: ${row.failure}`);
    return { title: row.title, median: medianOf(row.perSecond) };
  };
  const mine = medianFor(way).median;
  const best = others.map(medianFor).reduce((a, b) => (b.median > a.median ? b : a));
  const value = mine / best.median;
  const show = (perSecond: number): string =>
    test.endsWith('1m') ? `${(perSecond / 1e9).toFixed(1)} GB/s` : Math.round(perSecond).toLocaleString('en-US');
  return { value, words: `${value.toFixed(2)} × (${show(mine)}; ${best.title} ${show(best.median)})` };
}

function uploadRatio(rows: readonly CommitRow[], id: string): Figure {
  const { rounds } = commitRow(rows, id);
  // Round by round, since the server's pace changes from one to the next.
  const value = medianOf(rounds.map(({ seconds, plainSeconds }) => plainSeconds / seconds));
  const mine = medianOf(rounds.map(({ seconds }) => seconds));
  const plain = medianOf(rounds.map(({ plainSeconds }) => plainSeconds));
  return { value, words: `${value.toFixed(2)} × (${mine.toFixed(2)} s; plain ${plain.toFixed(2)} s)` };
}

function stall(rows: readonly CommitRow[]): Figure {
  const { rounds } = commitRow(rows, 'writer');
  const longest = medianOf(rounds.map(({ stallMs }) => stallMs ?? NaN));
  const tail = medianOf(rounds.map(({ tailMs }) => tailMs ?? NaN));
  const value = longest - tail;
  return { value, words: `${value.toFixed(1)} ms (${longest.toFixed(1)} ms; without a commit ${tail.toFixed(1)} ms)` };
}

function commitRow(rows: readonly CommitRow[], id: string): CommitRow {
  const row = rows.find((candidate) => candidate.id === id);
  if (row === undefined) return missing(`${id} was not run`);
  if (row.failure !== undefined) return missing(`${row.title} failed: ${row.failure}`);
  return row;
}

function cloneTime(results: AllResults, id: string): Figure {
  const part = commit(results);
  const milliseconds = medianOf(cloneRounds(part, id).map(({ cloneSeconds }) => cloneSeconds * 1000));
  const value = milliseconds - 2 * part.run.roundTripMs;
  return { value, words: `${value.toFixed(0)} ms (${milliseconds.toFixed(0)} ms in all)` };
}

type CloneRounds = NonNullable<AllResults['commit']>['clones'][number]['rounds'];

function openOf(results: AllResults, of: (round: CloneRounds[number]) => number, unit: string, digits: number): Figure {
  const value = medianOf(cloneRounds(commit(results), 'tib').map(of));
  return { value, words: `${value.toFixed(digits)}${unit}` };
}

function cloneRounds(part: NonNullable<AllResults['commit']>, id: string): CloneRounds {
  const row = part.clones.find((candidate) => candidate.id === id);
  if (row === undefined) return missing(`the image ${id} was not run`);
  if (row.failure !== undefined) return missing(`${row.title} failed: ${row.failure}`);
  return row.rounds;
}

function medianOf(values: readonly number[]): number {
  return summarise(values)?.median ?? missing('no round was measured');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function missing(why: string): never {
  throw new Missing(why);
}
