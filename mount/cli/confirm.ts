/**
 * The question before something is taken away that nobody can simply have again: on a terminal it is asked, `--yes` answers it, and where
 * nobody can be asked, `--yes` has to be there.
 */
import { createInterface } from 'node:readline/promises';
import { LazydiskError } from '../../lib/util/errors.js';
import type { Output } from './output.js';

/** The option of each verb that asks. */
export const YES = { type: 'boolean', default: false, describe: 'do not ask' } as const;

export interface Question {
  /** `Delete vm-01@3?` */
  readonly text: string;
  /** The same as the beginning of a sentence: `Deleting vm-01@3`. */
  readonly doing: string;
  /** What a no means: `Nothing was deleted.` */
  readonly otherwise: string;
}

/** USAGE: nobody sees a question, or could answer. For verbs that know only later whether there is something to ask: a script must not fail on some days. */
export function assertAnswerable({ doing }: Pick<Question, 'doing'>, output: Output): void {
  if (output.streams.stdin.isTTY === true && output.onTerminal) return;
  throw new LazydiskError('USAGE', `${doing} needs --yes when nobody can be asked.`);
}

/** Resolves after a yes. ABORTED: a no, or the end of the input. USAGE: nobody can be asked. */
export async function confirm(question: Question, output: Output): Promise<void> {
  assertAnswerable(question, output);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // At the end of the input no answer comes.
  const ended = new Promise<string>((resolve) => {
    terminal.once('close', () => {
      resolve('');
    });
  });
  try {
    const answer = await Promise.race([terminal.question(`${question.text} [y/N] `), ended]).catch(() => '');
    if (!/^y(es)?$/i.test(answer.trim())) throw new LazydiskError('ABORTED', question.otherwise);
  } finally {
    terminal.close();
  }
}
