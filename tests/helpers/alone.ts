/** What there is only once in a system, and what a test file changes: one file at a time has it, whatever runs beside it. */
import { start } from './processes.js';
import { waitFor } from './waiting.js';

/** As long as the files that are before it may take. */
const LIMIT_MS = 240_000;

/** Waits until no other test file has `path` (a file or folder that exists), and has it until the clean-up. */
export async function haveAlone(path: string): Promise<void> {
  // A process that is killed at the clean-up, and that ends with this one, whatever happens: the kernel frees its lock.
  const holder = start('flock', ['--no-fork', path, 'sh', '-c', 'echo taken; exec cat']);
  await waitFor(`${path} is free`, () => holder.output() === 'taken\n', { timeoutMs: LIMIT_MS });
}
