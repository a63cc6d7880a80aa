/** Folders whose names survive the host: made, and synced, so that what was made or removed in them stays so. */
import { mkdir, open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/** Makes a folder of this user alone, and the folders above it; their names are durable when it resolves. */
export async function makeFolder(path: string): Promise<void> {
  const wanted = resolve(path);
  const topmost = await mkdir(wanted, { recursive: true, mode: 0o700 });
  if (topmost === undefined) return;
  for (let made = wanted; made.length >= topmost.length; made = dirname(made)) await syncFolder(dirname(made));
}

/** Syncs a folder: names made or removed in it are durable when it resolves. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
