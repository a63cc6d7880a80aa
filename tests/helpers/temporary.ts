/** Folders of tests: on a real disk (a state directory on tmpfs is refused), removed at the clean-up. */
import { readFile, rm } from 'node:fs/promises';
import { chmodSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { undoLater } from './cleanup.js';

/** Systems often have /tmp in memory, never /var/tmp. */
const ROOT = process.env['LAZYDISK_TEST_DIRECTORY'] ?? '/var/tmp';

/** A new empty folder, absolute path. Its removal fails if something is still mounted in it. */
export function temporaryFolder(purpose = 'test'): string {
  const folder = mkdtempSync(join(ROOT, `lazydisk-${purpose}-`));
  // Open to other users: what they may not see behind a mount has to be the mount's doing.
  chmodSync(folder, 0o755);
  undoLater(async () => {
    const mounted = await mountpointsUnder(folder);
    if (mounted.length > 0) throw new Error(`still mounted: ${mounted.join(', ')}`);
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Mountpoints in `folder` or below it, deepest first. Asks the kernel, so it works on dead mounts. */
export async function mountpointsUnder(folder: string): Promise<string[]> {
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  return mounts
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replace(/\\040/g, ' '))
    .filter((path) => path === folder || path.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length);
}
