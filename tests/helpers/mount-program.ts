/** /sbin/mount.lazydisk, where mount(8) looks for it, for as long as a test file runs; what was there comes back. */
import { chmod, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { haveAlone } from './alone.js';
import { undoLater } from './cleanup.js';

export const MOUNT_HELPER = '/sbin/mount.lazydisk';
const PROGRAM = 'dist/mount/cli/mount-helper-main.js';

/** As an installation has it: with the absolute path of node, since mount(8) may have no PATH. `project`: where to run it from. */
export async function installMountHelper(project = resolve('.')): Promise<void> {
  await haveAlone(dirname(MOUNT_HELPER));
  const kept = `${MOUNT_HELPER}.kept`;
  const wasThere = await rename(MOUNT_HELPER, kept).then(
    () => true,
    () => false,
  );
  undoLater(() => (wasThere ? rename(kept, MOUNT_HELPER) : rm(MOUNT_HELPER)));
  await writeFile(MOUNT_HELPER, `#!/bin/sh\nexec "${process.execPath}" "${join(project, PROGRAM)}" "$@"\n`);
  await chmod(MOUNT_HELPER, 0o755);
}
