/** The results as Markdown tables. Pure. Every row that was to be measured is in them; what failed says why. */
import { totalRequests } from '../request-counter.js';
import type {
  AllResults,
  CloneRow,
  ColdResults,
  ColdRound,
  ColdRow,
  CommitResults,
  CommitRow,
  HotResults,
  ManyResults,
  RunFacts,
} from '../results.js';
import { summarise } from '../statistics.js';
import { dollarsOf, DOLLARS_PER_WRITE } from './cost.js';
import { computeRatios } from './ratios.js';

/** The ratios, and below them the tables of all parts that have been run. */
export function renderReport(results: AllResults): string {
  const sections = [
    results.cold === undefined ? undefined : coldSection(results.cold),
    results.hot === undefined ? undefined : hotSection(results.hot),
    results.commit === undefined ? undefined : commitSection(results.commit),
    results.many === undefined ? undefined : manySection(results.many),
    costSection(results),
    ratioSection(results),
  ];
  return `${sections.filter((section) => section !== undefined).join('\n\n')}\n`;
}

function ratioSection(results: AllResults): string {
  const rows = computeRatios(results).map(({ what, target, measured, reached }) => [what, target, measured, reached]);
  return `### What was to be reached\n\n${table(['what', 'target', 'measured', 'reached'], rows)}`;
}

function coldSection(results: ColdResults): string {
  const { roundTripMs, bytesPerSecond } = results.run;
  const parts = (['small', 'large'] as const).map((image) => {
    const { sizeBytes, allocatedBytes, zstdBytes, uniqueBytes, uniqueStoredBytes } = results.images[image];
    const facts =
      `The ${image} image: ${mib(sizeBytes)}, ${mib(allocatedBytes)} allocated, ${mib(zstdBytes)} as zstd; the trace touches ` +
      `${mib(uniqueBytes)} in grains of 256 KiB, ${mib(uniqueStoredBytes)} compressed.`;
    const rows = results.rows.filter((row) => row.image === image).map(coldCells);
    const heads = ['way', 'to open, s', 'replay, s', 'in all, s', 'slowest read, ms', 'requests', 'MB down'];
    return `${facts}\n\n${table(heads, rows)}`;
  });
  const title =
    `### Cold: the boot trace over a link of ${String(roundTripMs)} ms and ${String(bytesPerSecond / 1e6)} MB/s\n\n` +
    `${factsLine(results.run)} Medians, with the least and the most of the rounds where there are several.`;
  return [title, ...parts].join('\n\n');
}

function coldCells({ title, rounds, failure }: ColdRow): string[] {
  if (failure !== undefined) return [title, `failed: ${failure}`, '', '', '', '', ''];
  const of = (value: (round: ColdRound) => number, digits: number): string => spread(rounds.map(value), digits);
  return [
    title,
    of(({ openSeconds }) => openSeconds, 2),
    of(({ replaySeconds }) => replaySeconds, 2),
    of(({ openSeconds, replaySeconds }) => openSeconds + replaySeconds, 2),
    of(({ slowestReadSeconds }) => slowestReadSeconds * 1000, 0),
    of(({ requests }) => totalRequests(requests), 0),
    of(({ bytesDown }) => bytesDown / 1e6, 1),
  ];
}

const TEST_TITLES: readonly (readonly [string, string])[] = [
  ['randread-qd1', '4k randread qd1'],
  ['randread-qd32', '4k randread qd32'],
  ['read-1m', '1M read qd8'],
  ['buffered-randread', '4k randread, buffered'],
  ['randwrite-qd32', '4k randwrite qd32'],
  ['write-1m', '1M write qd8'],
];

function hotSection(results: HotResults): string {
  const parts = (['cached', 'disk'] as const).map((data) => {
    const rows = results.rows.filter((row) => row.data === data);
    const tests = TEST_TITLES.filter(([id]) => rows.some(({ test }) => test === id));
    const ways = [...new Map(rows.map(({ way, title }) => [way, title]))];
    const cells = ways.map(([way, title]) => [
      title,
      ...tests.map(([id]) => {
        const row = rows.find((candidate) => candidate.way === way && candidate.test === id);
        if (row === undefined) return '–';
        if (row.failure !== undefined) return 'failed';
        return id.endsWith('1m')
          ? `${spread(
              row.perSecond.map((bytes) => bytes / 1e9),
              1,
            )} GB/s`
          : spread(row.perSecond, 0);
      }),
    ]);
    const where = data === 'cached' ? 'Data in the page cache:' : 'Data only on the disk:';
    const failures = new Set(
      rows.flatMap(({ title, failure }) => (failure === undefined ? [] : [`- ${title}: ${failure}`])),
    );
    const why = failures.size === 0 ? '' : `\n\nFailed:\n\n${[...failures].join('\n')}`;
    return `${where}\n\n${table(['way', ...tests.map(([, title]) => title)], cells)}${why}`;
  });
  return [`### Hot: a file that is wholly local\n\n${factsLine(results.run)}`, ...parts].join('\n\n');
}

function commitSection(results: CommitResults): string {
  const heads = [
    'what',
    'dirty or allocated',
    'seconds',
    'plain upload, s',
    'MB up',
    'requests',
    'longest write, ms',
    'without, ms',
  ];
  const rows = [...results.imports, ...results.commits].map(commitCells);
  const clones = results.clones.map(cloneCells);
  return [
    `### Commit, import and clone\n\n${factsLine(results.run)}`,
    table(heads, rows),
    table(['image', 'clone, ms', 'open and first read, ms', 'memory of the open, MiB'], clones),
  ].join('\n\n');
}

function commitCells({ title, dirtyBytes, rounds, failure }: CommitRow): string[] {
  if (failure !== undefined) return [title, mib(dirtyBytes), `failed: ${failure}`, '', '', '', '', ''];
  const known = (values: readonly (number | undefined)[], digits: number): string =>
    spread(
      values.filter((value) => value !== undefined),
      digits,
    );
  return [
    title,
    mib(dirtyBytes),
    known(
      rounds.map(({ seconds }) => seconds),
      2,
    ),
    known(
      rounds.map(({ plainSeconds }) => plainSeconds),
      2,
    ),
    known(
      rounds.map(({ bytesUp }) => bytesUp / 1e6),
      1,
    ),
    known(
      rounds.map(({ requests }) => (requests > 0 ? requests : undefined)),
      0,
    ),
    known(
      rounds.map(({ stallMs }) => stallMs),
      1,
    ),
    known(
      rounds.map(({ tailMs }) => tailMs),
      1,
    ),
  ];
}

function cloneCells({ title, rounds, failure }: CloneRow): string[] {
  if (failure !== undefined) return [title, `failed: ${failure}`, '', ''];
  return [
    title,
    spread(
      rounds.map(({ cloneSeconds }) => cloneSeconds * 1000),
      0,
    ),
    spread(
      rounds.map(({ openSeconds }) => openSeconds * 1000),
      0,
    ),
    spread(
      rounds.map(({ openBytes }) => openBytes / 1024 ** 2),
      0,
    ),
  ];
}

function manySection(results: ManyResults): string {
  const rows = results.rows.map(({ clones, variant, rounds, failure }) => {
    const name = variant === 'fill-off' ? 'nothing in the background' : 'as it comes';
    if (failure !== undefined) return [String(clones), name, `failed: ${failure}`, '', ''];
    return [
      String(clones),
      name,
      spread(
        rounds.map(({ seconds }) => seconds),
        2,
      ),
      spread(
        rounds.map(({ bytesDown }) => bytesDown / 1e6),
        1,
      ),
      spread(
        rounds.map(({ requests }) => totalRequests(requests)),
        0,
      ),
    ];
  });
  const heads = ['clones at once', 'variant', 'seconds', 'MB down', 'requests'];
  return `### Many: clones of the small image in one mount, over the link\n\n${factsLine(results.run)}\n\n${table(heads, rows)}`;
}

function costSection({ cold, commit }: AllResults): string {
  const rows: string[][] = [];
  for (const [way, name] of [
    ['ours', 'a boot without a profile'],
    ['ours-profile', 'a boot with a profile'],
  ] as const) {
    const row = cold?.rows.find((candidate) => candidate.image === 'small' && candidate.way === way);
    const round = row?.rounds.at(-1);
    if (round === undefined) rows.push([name, 'not measured', '']);
    else rows.push([name, String(totalRequests(round.requests)), perThousand(dollarsOf(round.requests))]);
  }
  if (cold === undefined || 'failure' in cold.idle) rows.push(['an idle hour of a mount', 'not measured', '']);
  else {
    const perHour = (count: number): number => (count * 3600) / (cold.idle as { seconds: number }).seconds;
    const { requests } = cold.idle.traffic;
    rows.push([
      'an idle hour of a mount with an open image',
      String(perHour(totalRequests(requests))),
      perThousand(perHour(dollarsOf(requests))),
    ]);
  }
  for (const row of commit?.commits ?? []) {
    const count = row.rounds.at(-1)?.requests;
    if (row.id !== 'run' && row.id !== 'scattered' && row.id !== 'guest') continue;
    const name = `a commit: ${row.title}`;
    // Most of a commit's requests are PUTs; all are counted as such.
    if (count === undefined) rows.push([name, 'not measured', '']);
    else rows.push([name, String(count), perThousand(count * DOLLARS_PER_WRITE)]);
  }
  const note = 'At 0.005 $ for a thousand PUTs or LISTs and 0.0004 $ for a thousand GETs, without bytes.';
  return `### Requests, and what they cost\n\n${note}\n\n${table(['what', 'requests', '$ for a thousand of them'], rows)}`;
}

function perThousand(dollars: number): string {
  return (dollars * 1000).toFixed(3);
}

function factsLine({ when, commit, machine, rounds, quick }: RunFacts): string {
  const kind = quick ? ' A trial run with small sizes: its figures say nothing.' : '';
  return `${when.slice(0, 10)}, ${machine}, commit ${commit}, ${String(rounds)} ${rounds === 1 ? 'round' : 'rounds'}.${kind}`;
}

/** `1.50`, or `1.50 (1.40–1.70)` when there were several rounds. */
export function spread(values: readonly number[], digits: number): string {
  const sample = summarise(values);
  if (sample === undefined) return '–';
  const show = (value: number): string =>
    value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  if (sample.rounds === 1) return show(sample.median);
  return `${show(sample.median)} (${show(sample.least)}–${show(sample.most)})`;
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2).toLocaleString('en-US')} MiB`;
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replace(/\|/g, '/')).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}
