/** A user who is not root: what is run by him has HOME and PATH alone, and nothing of root's. */
import { chmod, chown, mkdir, realpath, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { haveAlone } from './alone.js';
import { undoLater } from './cleanup.js';
import { must } from './processes.js';
import { temporaryFolder } from './temporary.js';

export const NOBODY = 65534;

export interface OtherUser {
  /** His own. */
  readonly folder: string;
  /** The project, where he may read it. */
  readonly project: string;
  /** For setpriv: a program, run as him. */
  words(command: string, args: readonly string[]): string[];
}

/** The user nobody, on a host where users may open /dev/fuse, as udev has it. */
export async function otherUser(): Promise<OtherUser> {
  await haveAlone('/dev/fuse');
  const { mode } = await stat('/dev/fuse');
  undoLater(() => chmod('/dev/fuse', mode & 0o777));
  await chmod('/dev/fuse', 0o666);

  const folder = await realpath(temporaryFolder('users'));
  await chown(folder, NOBODY, NOBODY);
  // Wherever the project lies: nobody may not pass through the home of root.
  const project = join(folder, 'project');
  await mkdir(project);
  await must('mount', ['--bind', resolve('.'), project]);
  // A process that is leaving may have its program open still.
  undoLater(async () => void (await must('umount', ['-l', project])));
  const environment = [`HOME=${folder}`, `XDG_STATE_HOME=${folder}/states`, 'PATH=/usr/bin:/bin'];
  const user = [`--reuid=${String(NOBODY)}`, `--regid=${String(NOBODY)}`, '--clear-groups'];
  return { folder, project, words: (command, args) => [...user, 'env', '-i', ...environment, command, ...args] };
}
