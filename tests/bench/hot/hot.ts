/**
 * The hot part: fio on files that are wholly local.
 *
 * All ways stand at once and are asked in turns, test by test, so that a slow minute of the machine hits all of them. What is
 * written is on the disk before the next one begins. A way that can't be started is a row with its reason for each of its tests.
 */
import { fio, type FioJob } from '../fio.js';
import { failureOf, runFacts, type HotResults, type HotRow } from '../results.js';
import { lazydiskProgram, type BenchSettings } from '../settings.js';
import { must, type Workspace } from '../workspace.js';
import { dropFromPageCache, HOT_WAYS, makeHotSource, type HotPlace, type HotWay } from './ways.js';

const MIB = 1024 * 1024;

/** A test without its path: `perSecond` counts operations, for blocks of 1 MiB bytes. */
type HotTest = Pick<FioJob, 'rw' | 'blockBytes' | 'depth'> & { readonly id: string; readonly buffered?: true };

const TESTS: readonly HotTest[] = [
  { id: 'randread-qd1', rw: 'randread', blockBytes: 4096, depth: 1 },
  { id: 'randread-qd32', rw: 'randread', blockBytes: 4096, depth: 32 },
  { id: 'read-1m', rw: 'read', blockBytes: MIB, depth: 8 },
  { id: 'buffered-randread', rw: 'randread', blockBytes: 4096, depth: 1, buffered: true },
  { id: 'randwrite-qd32', rw: 'randwrite', blockBytes: 4096, depth: 32 },
  { id: 'write-1m', rw: 'write', blockBytes: MIB, depth: 8 },
];

interface Standing {
  readonly way: HotWay;
  readonly place: HotPlace;
}

export async function runHot(
  workspace: Workspace,
  settings: BenchSettings,
  say: (text: string) => void,
): Promise<HotResults> {
  const sizeBytes = settings.quick ? 128 * MIB : 512 * MIB;
  const seconds = settings.quick ? 0.7 : 1.5;
  const beganMs = performance.now();
  const home = workspace.newFolder('home');
  const source = await makeHotSource(workspace, sizeBytes, (args) =>
    must(process.execPath, [lazydiskProgram(), ...args], { env: { HOME: home } }),
  );
  const rows = new Map<string, HotRow>();
  const standing: Standing[] = [];
  for (const way of HOT_WAYS) {
    if (settings.only === '' ? settings.quick && !way.quick : !way.id.includes(settings.only)) continue;
    try {
      standing.push({ way, place: await way.start(workspace, source) });
    } catch (error) {
      say(`${way.title}: failed: ${failureOf(error)}`);
      for (const [data, tests] of Object.entries({ cached: way.tests, disk: way.diskTests }) as [
        HotRow['data'],
        readonly string[],
      ][]) {
        for (const test of tests)
          rows.set(`${data} ${test} ${way.id}`, { ...rowOf(way, test, data), failure: failureOf(error) });
      }
    }
  }
  for (let round = 0; round < settings.rounds; round += 1) {
    for (const data of ['cached', 'disk'] as const) {
      for (const test of TESTS) {
        for (const one of standing) {
          const tests = data === 'cached' ? one.way.tests : one.way.diskTests;
          if (!tests.includes(test.id)) continue;
          const key = `${data} ${test.id} ${one.way.id}`;
          const before = rows.get(key) ?? rowOf(one.way, test.id, data);
          if (before.failure !== undefined) continue;
          const after = await addRound(before, () => measure(one, test, data, sizeBytes, seconds));
          rows.set(key, after);
          say(`${data} ${test.id}: ${one.way.title}: ${after.failure ?? (after.perSecond.at(-1) ?? 0).toFixed(0)}`);
        }
      }
    }
  }
  return { run: await runFacts(settings, beganMs), rows: [...rows.values()] };
}

function rowOf(way: HotWay, test: string, data: HotRow['data']): HotRow {
  return { way: way.id, title: way.title, test, data, perSecond: [] };
}

async function addRound(row: HotRow, measureRound: () => Promise<number>): Promise<HotRow> {
  try {
    return { ...row, perSecond: [...row.perSecond, await measureRound()] };
  } catch (error) {
    return { ...row, failure: failureOf(error) };
  }
}

async function measure(
  { way, place }: Standing,
  test: HotTest,
  data: HotRow['data'],
  sizeBytes: number,
  seconds: number,
): Promise<number> {
  const { rw, blockBytes, depth, buffered } = test;
  const isWrite = rw.endsWith('write');
  const path = isWrite ? place.writePath : place.readPath;
  const job: FioJob = { path, rw, blockBytes, depth, sizeBytes, seconds, direct: buffered !== true && way.direct };
  if (data === 'disk') await dropFromPageCache(place.backing);
  else if (!isWrite) await warm(path, job.direct);
  const { operationsPerSecond, bytesPerSecond } = await fio(job);
  // The dirty pages of one way are not to be written on the time of the next.
  if (isWrite) await must('sync', []);
  return blockBytes === MIB ? bytesPerSecond : operationsPerSecond;
}

/** Reads the whole file as the test will, so that its data, or the data behind it, is in the page cache. */
async function warm(path: string, direct: boolean): Promise<void> {
  const flags = direct ? ['iflag=direct'] : [];
  await must('dd', [`if=${path}`, 'of=/dev/null', 'bs=1M', 'status=none', ...flags]);
}
