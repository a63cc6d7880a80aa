/**
 * The benchmark: `make bench` runs its parts one after the other.
 *
 *   main.js cold|hot|commit|many     runs a part and writes its results
 *   main.js report                   prints the tables and ratios of all results that are there
 *   main.js docs                     puts them into docs/PERFORMANCE.md
 *
 * A part that is interrupted undoes what it made.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { runCold } from './cold/cold.js';
import { runCommit } from './commit/commit.js';
import { runHot } from './hot/hot.js';
import { runMany } from './many/many.js';
import { withReport } from './report/document.js';
import { renderReport } from './report/tables.js';
import { PART_NAMES, readResults, writeResults, type PartName, type RunFacts } from './results.js';
import { readSettings, type BenchSettings } from './settings.js';
import { Workspace } from './workspace.js';

type Part = (
  workspace: Workspace,
  settings: BenchSettings,
  say: (text: string) => void,
) => Promise<{ readonly run: RunFacts }>;

const PARTS: Readonly<Record<PartName, Part>> = {
  cold: runCold,
  hot: runHot,
  commit: runCommit,
  many: runMany,
};

async function runPart(name: PartName, part: Part, settings: BenchSettings): Promise<void> {
  const workspace = new Workspace();
  const began = performance.now();
  let isInterrupted = false;
  const say = (text: string): void => {
    // What fails because its servers are gone is no news.
    if (isInterrupted) return;
    const seconds = ((performance.now() - began) / 1000).toFixed(0).padStart(4);
    process.stderr.write(`${name} ${seconds} s  ${text}\n`);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      say('interrupted, cleaning up');
      isInterrupted = true;
      void workspace.undoAll().finally(() => process.exit(130));
    });
  }
  try {
    await writeResults(settings.outFolder, name, await part(workspace, settings, say));
  } finally {
    await workspace.undoAll();
  }
}

const DOCUMENT = 'docs/PERFORMANCE.md';

const [, , verb = ''] = process.argv;
const settings = readSettings(process.env);
const part = PART_NAMES.find((name) => name === verb);
if (part !== undefined) {
  await runPart(part, PARTS[part], settings);
} else if (verb === 'report') {
  process.stdout.write(renderReport(readResults(settings.outFolder)));
} else if (verb === 'docs') {
  const report = renderReport(readResults(settings.outFolder));
  await writeFile(DOCUMENT, withReport(await readFile(DOCUMENT, 'utf8'), report));
} else {
  process.stderr.write(`bench: expected cold, hot, commit, many, report or docs, got ${JSON.stringify(verb)}\n`);
  process.exitCode = 2;
}
