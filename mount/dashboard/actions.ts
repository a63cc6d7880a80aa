/**
 * What the page's buttons do: the verbs of the control API, with the same bodies and the same errors. An answer does not wait
 * for what takes long (a commit's upload, a hydration): that goes on, whatever becomes of the page, and its end is an outcome.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ControlCommands } from '../service/control-protocol.js';
import { checkedBody } from '../service/request-body.js';
import type { ActionAnswer, ActionName } from './protocol.js';

export type ActionCommands = Pick<ControlCommands, 'beginCommit' | 'clone' | 'revert' | 'hydrate'>;

/** An answer waits so long for the end. */
const ANSWER_MS = 1500;

const ACTIONS: readonly ActionName[] = ['commit', 'clone', 'revert', 'hydrate'];

export function isActionName(name: string): name is ActionName {
  return (ACTIONS as readonly string[]).includes(name);
}

/** Rejects with what the command rejects with, as long as that is waited for. USAGE: the body is wrong. */
export async function act(
  name: ActionName,
  body: unknown,
  commands: ActionCommands,
  answerMs = ANSWER_MS,
): Promise<ActionAnswer> {
  const work = begin(name, body, commands).then(() => 'done' as const);
  // A failure that comes later is an outcome like any other.
  work.catch(() => undefined);
  return { state: await Promise.race([work, delay(answerMs, 'running' as const, { ref: false })]) };
}

async function begin(name: ActionName, body: unknown, commands: ActionCommands): Promise<unknown> {
  switch (name) {
    case 'commit': {
      const { image, ...wish } = checkedBody('begin-commit', body);
      return commands.beginCommit(image, wish);
    }
    case 'clone': {
      const { image, newImage, ...options } = checkedBody(name, body);
      return commands.clone(image, newImage, options);
    }
    case 'revert': {
      const { image, number } = checkedBody(name, body);
      return commands.revert(image, number);
    }
    case 'hydrate': {
      const { image, number } = checkedBody(name, body);
      return commands.hydrate(image, number);
    }
  }
}
