/** A mount namespace of a test's own: files of /etc can be others in it, and what is mounted there is seen there alone. */
import { undoLater } from './cleanup.js';
import { type Ended, must, run, start } from './processes.js';
import { waitFor } from './waiting.js';

export interface MountNamespace {
  /** Runs a program in it, to its end. */
  run(command: string, args: readonly string[]): Promise<Ended>;
  /** Lays a file over one of the host's. */
  replace(path: string, by: string): Promise<void>;
}

/** Lives until the clean-up; mounts that are there then go with it. */
export async function mountNamespace(): Promise<MountNamespace> {
  const keeper = start('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', 'echo there; exec sleep 1d']);
  await waitFor('the namespace is there', () => keeper.output() === 'there\n');
  undoLater(() => {
    keeper.kill();
  });
  const enter = (command: string, args: readonly string[]): string[] => [
    `--mount=/proc/${String(keeper.pid)}/ns/mnt`,
    '--',
    command,
    ...args,
  ];
  return {
    run: (command, args) => run('nsenter', enter(command, args)),
    replace: async (path, by) => void (await must('nsenter', enter('mount', ['--bind', by, path]))),
  };
}
