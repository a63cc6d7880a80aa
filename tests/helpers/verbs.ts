/** Verbs run in this process, over a copy of the frozen repository: what they print, and their exit status. */
import { cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { openRepository } from '../../lib/repository/repository.js';
import type { StoredRepository } from '../../lib/repository/stored-repository.js';
import { DirectoryStore } from '../../lib/store/directory-store.js';
import { runProgram } from '../../mount/cli/program.js';
import { VERBS } from '../../mount/cli/verbs.js';
import { undoLater } from './cleanup.js';

export interface Said {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export interface VerbWorld {
  /** A folder of the test's own, removed at the clean-up. */
  readonly folder: string;
  /** URL of the copied repository: debian-12 with 1, 2, 4 and 5, vm-01 with 1 and 2 and a lock, empty with 1 and 2. */
  readonly url: string;
  run(...words: string[]): Promise<Said>;
  /** What it prints with --json; it has to succeed. */
  json(...words: string[]): Promise<unknown>;
  /** What it prints for people; it has to succeed. */
  text(...words: string[]): Promise<string>;
  repository(): Promise<StoredRepository>;
}

export function copiedFixture(): VerbWorld {
  const folder = mkdtempSync(join(tmpdir(), 'lazydisk-verbs-'));
  undoLater(() => rm(folder, { recursive: true }));
  const root = join(folder, 'repository');
  cpSync(join('tests', 'fixtures', 'repository-v1', 'repository'), root, { recursive: true });
  const run = async (...words: string[]): Promise<Said> => {
    const said = { out: '', err: '' };
    const status = await runProgram(words, {
      verbs: VERBS,
      version: '0.0.0',
      streams: {
        stdout: { write: (text: string) => (said.out += text) },
        stderr: { write: (text: string) => (said.err += text), isTTY: false },
        stdin: { isTTY: false },
      },
      environment: { LAZYDISK_RUNTIME_DIR: join(folder, 'run'), HOME: folder },
      uid: process.getuid?.() ?? 0,
    });
    return { status, ...said };
  };
  const text = async (...words: string[]): Promise<string> => {
    const { status, out, err } = await run(...words);
    if (status !== 0) throw new Error(`lazydisk ${words.join(' ')}: status ${status}\n${err}`);
    return out;
  };
  return {
    folder,
    url: `file://${root}`,
    run,
    text,
    json: async (...words) => JSON.parse(await text(...words, '--json')) as unknown,
    repository: () => openRepository(new DirectoryStore(root)),
  };
}
