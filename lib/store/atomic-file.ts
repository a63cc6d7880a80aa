/**
 * One file, written whole or not at all, and there after a power cut when the call returns.
 *
 * The bytes go to a temporary file in the same file system, are synced, and the file then gets its name in one step:
 * rename(2) when it may replace another, link(2) when it must be the first (link refuses an existing name, so exactly one
 * of any number of racers wins, over processes and hosts). Then the directories are synced, because a name is data of its
 * directory. A crash leaves at most a temporary file, which nothing reads.
 *
 * Directories are made when they are missing. Their own names are synced by the first write through this object, also
 * when another process made them: it may not have come to syncing them.
 */
import { randomBytes } from 'node:crypto';
import { open, link, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf } from '../util/errors.js';
import { makeFolders, syncFolder } from '../util/folders.js';

/** The names that writeTemporary gives: nothing else is ours to remove, wherever a link may lead. */
const TEMPORARY_NAME = /^\d+-[0-9a-f]{24}$/;

/** A temporary file this old belongs to no writer that still lives: an upload takes minutes. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

export type Published = 'published' | 'exists';

export class AtomicFiles {
  /** Directories whose names are known to be durable, up to the root. */
  private readonly durable = new Set<string>();

  /** `root` holds all targets; `temporary` is a directory in the same file system that is used by nothing else. */
  constructor(
    private readonly root: string,
    private readonly temporary: string,
  ) {}

  /**
   * Writes `bytes` as the file `path`, a path below the root. With `exclusive` an existing file is left as it is, and the
   * answer is `exists`. `beforePublishing` may throw to give up with nothing changed. Errors are those of node:fs.
   */
  async write(
    path: string,
    bytes: Uint8Array,
    options: { readonly exclusive: boolean; readonly beforePublishing: () => void },
  ): Promise<Published> {
    const temporary = await this.writeTemporary(bytes);
    try {
      options.beforePublishing();
      const outcome = await this.publish(temporary, path, options.exclusive);
      if (outcome === 'published') await this.syncName(path);
      return outcome;
    } finally {
      // Gone already after a rename.
      await rm(temporary, { force: true });
    }
  }

  /** Removes the file, durably; resolves also when there was none. */
  async remove(path: string): Promise<void> {
    try {
      await unlink(path);
    } catch (error) {
      if (isAbsence(error)) return;
      throw error;
    }
    await syncFolder(dirname(path));
  }

  /** Removes temporary files of writers that died; `nowMs` is milliseconds since 1970. */
  async removeAbandoned(nowMs: number): Promise<void> {
    for (const name of await namesIn(this.temporary)) {
      if (!TEMPORARY_NAME.test(name)) continue;
      const path = join(this.temporary, name);
      try {
        if (nowMs - (await stat(path)).mtimeMs > ABANDONED_AFTER_MS) await rm(path, { force: true });
      } catch (error) {
        if (!isAbsence(error)) throw error;
      }
    }
  }

  private async writeTemporary(bytes: Uint8Array): Promise<string> {
    const path = join(this.temporary, `${process.pid}-${randomBytes(12).toString('hex')}`);
    const file = await this.withDirectory(this.temporary, () => open(path, 'wx'));
    try {
      await file.writeFile(bytes);
      await file.sync();
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    return path;
  }

  private async publish(temporary: string, path: string, exclusive: boolean): Promise<Published> {
    if (!exclusive) {
      await this.withDirectory(dirname(path), () => rename(temporary, path));
      return 'published';
    }
    try {
      await this.withDirectory(dirname(path), () => link(temporary, path));
      return 'published';
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      // NFS sends a link again when its answer was lost, and then reports our own success as EEXIST: two names tell.
      return (await stat(temporary)).nlink > 1 ? 'published' : 'exists';
    }
  }

  private async syncName(path: string): Promise<void> {
    const directory = dirname(path);
    await syncFolder(directory);
    const synced: string[] = [];
    for (let child = directory; !this.durable.has(child) && child !== dirname(child); child = dirname(child)) {
      await this.syncParent(child);
      synced.push(child);
    }
    for (const child of synced) this.durable.add(child);
  }

  private async syncParent(child: string): Promise<void> {
    try {
      await syncFolder(dirname(child));
    } catch (error) {
      // Above the root there may be directories that we can't open; then we can't have made anything in them either.
      const aboveRoot = !child.startsWith(`${this.root}/`);
      if (!aboveRoot || errnoOf(error) !== 'EACCES') throw error;
    }
  }

  /** Does it, and once more with the directory made, when that was missing. */
  private async withDirectory<T>(directory: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      this.durable.clear();
      await makeFolders(directory);
      return action();
    }
  }
}

/** Names in a directory; none when there is no such directory. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
}

/** Whether the error says that there is no such file. ENOTDIR: a file stands where the path has a directory. */
export function isAbsence(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ENOTDIR';
}
