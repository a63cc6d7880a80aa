/**
 * A link in a process of its own, so that its work does not take turns with what is measured; and before all others on the
 * processor where the rights are there, since a real link does not wait for this machine's.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { startLink, type LinkCounts, type LinkSettings } from './link.js';

/** As `Link`, but what it says comes from another process. */
export interface RemoteLink {
  readonly url: string;
  readonly port: number;
  counts(): Promise<LinkCounts>;
  reset(): Promise<void>;
  close(): Promise<void>;
}

type Question = 'counts' | 'reset';

const HIGH_PRIORITY = -15;
const PROGRAM = fileURLToPath(import.meta.url);

/** Starts one; rejects when it can't be started. It ends with this process at the latest. */
export async function startRemoteLink(targetUrl: string, settings: LinkSettings = {}): Promise<RemoteLink> {
  const child = fork(PROGRAM, [targetUrl, JSON.stringify(settings)], { execArgv: [] });
  const port = (await answerOf(child)) as number;
  const ask = async (question: Question): Promise<unknown> => {
    child.send(question);
    return answerOf(child);
  };
  return {
    url: `http://127.0.0.1:${String(port)}`,
    port,
    counts: () => ask('counts') as Promise<LinkCounts>,
    reset: async () => {
      await ask('reset');
    },
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function answerOf(child: ChildProcess): Promise<unknown> {
  const ended = new AbortController();
  const exit = once(child, 'exit', { signal: ended.signal }).then(() => {
    throw new Error('The link has ended by itself.');
  });
  exit.catch(() => undefined);
  try {
    const [answer] = (await Promise.race([once(child, 'message', { signal: ended.signal }), exit])) as [unknown];
    return answer;
  } finally {
    ended.abort();
  }
}

if (process.argv[1] === PROGRAM && process.send !== undefined) {
  const [, , targetUrl = '', settings = '{}'] = process.argv;
  try {
    setPriority(HIGH_PRIORITY);
  } catch {
    // Not root: then it takes its turns.
  }
  const link = await startLink(targetUrl, JSON.parse(settings) as LinkSettings);
  process.on('message', (question: Question) => {
    if (question === 'reset') link.reset();
    process.send?.(link.counts());
  });
  process.on('disconnect', () => process.exit(0));
  process.send(link.port);
}
