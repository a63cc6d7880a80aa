/**
 * A store in a directory: `file:///dir`, each object a file at its key. The embedded default, also good on NFS.
 *
 * Objects are written as lib/store/atomic-file.ts tells: whole, durable, and with `ifAbsent` exactly once. What is being
 * written lies in `.lazydisk-tmp/` below the root; it is never listed, and no key can name it. Empty directories stay
 * behind deletions and do not show: as in S3, a prefix is there as long as an object is.
 *
 * A root that was seen and has gone is UNREACHABLE, never NOT_FOUND and never made anew: a disk that was unmounted must
 * look neither like an empty repository nor like a good place to write.
 *
 * What it does not do: two keys of which one is a directory of the other (`a` and `a/b`) can't both be stored (REFUSED).
 * Links in the directory are followed: whoever can make them owns the repository.
 */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { errnoOf, LazydiskError } from '../util/errors.js';
import { AtomicFiles, isAbsence } from './atomic-file.js';
import { checkRange, keyExists, noSuchKey, rangePastEnd, throwIfAborted } from './calls.js';
import { directoryError, linkError } from './directory-errors.js';
import { listDirectory } from './directory-listing.js';
import { checkKey, checkPrefix, TEMPORARY_DIRECTORY } from './keys.js';
import type { CallOptions, GetOptions, Listing, ListOptions, ObjectStore, PutOptions } from './object-store.js';

/** Whoever can write to the directory can put a pipe there: opening it must not wait for somebody who writes to it. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK;

export class DirectoryStore implements ObjectStore {
  readonly location: string;
  private readonly root: string;
  private readonly files: AtomicFiles;
  private rootState: 'not seen yet' | 'seen' = 'not seen yet';
  private sweep: Promise<void> | undefined;

  /** `directory` need not exist: it is made by the first put. */
  constructor(directory: string) {
    this.root = resolve(directory);
    this.location = pathToFileURL(this.root).href;
    this.files = new AtomicFiles(this.root, join(this.root, TEMPORARY_DIRECTORY));
  }

  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    checkKey(key);
    checkRange(options.range);
    throwIfAborted(options.signal, this.location);
    let file: FileHandle;
    try {
      file = await open(join(this.root, key), READ);
    } catch (error) {
      if (!isAbsence(error)) throw this.failure(error, `Reading ${key}`);
      await this.checkRoot();
      throw noSuchKey(this.location, key, error);
    }
    try {
      return await this.read(file, key, options);
    } catch (error) {
      throw this.failure(error, `Reading ${key}`);
    } finally {
      await file.close();
    }
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    checkKey(key);
    throwIfAborted(options.signal, this.location);
    await options.pace?.(bytes.length, options.signal);
    const exclusive = options.ifAbsent === true;
    try {
      await this.checkRoot();
      // Tidying is a favour: when it fails, so will the write, with a better reason.
      await (this.sweep ??= this.files.removeAbandoned(Date.now()).catch(() => undefined));
      const outcome = await this.files.write(join(this.root, key), bytes, {
        exclusive,
        beforePublishing: () => throwIfAborted(options.signal, this.location),
      });
      this.rootState = 'seen';
      if (outcome === 'exists') throw keyExists(this.location, key);
    } catch (error) {
      throw exclusive ? linkError(error, this.location, `Creating ${key}`) : this.failure(error, `Writing ${key}`);
    }
  }

  async list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    checkPrefix(prefix);
    throwIfAborted(options.signal, this.location);
    try {
      await this.checkRoot();
      return await listDirectory(this.root, prefix, options.delimiter, () => {
        throwIfAborted(options.signal, this.location);
        options.onPiece?.();
      });
    } catch (error) {
      throw this.failure(error, `Listing ${prefix}`);
    }
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    throwIfAborted(options.signal, this.location);
    try {
      await this.checkRoot();
      const path = join(this.root, key);
      // A directory is not an object: there is nothing of this key to remove (unlink would answer EISDIR or EPERM).
      if (await isDirectory(path)) return;
      await this.files.remove(path);
    } catch (error) {
      throw this.failure(error, `Deleting ${key}`);
    }
  }

  async close(): Promise<void> {
    // Nothing is held between calls.
  }

  private async read(file: FileHandle, key: string, options: GetOptions): Promise<Buffer> {
    const found = await file.stat();
    if (!found.isFile()) throw noSuchKey(this.location, key);
    const range = options.range ?? { offsetBytes: 0, lengthBytes: found.size };
    if (range.offsetBytes + range.lengthBytes > found.size) {
      throw rangePastEnd(this.location, key, range, found.size);
    }
    // Not from Node's buffer pool: the caller may transfer it to a worker.
    const bytes = Buffer.allocUnsafeSlow(range.lengthBytes);
    for (let done = 0; done < bytes.length;) {
      throwIfAborted(options.signal, this.location);
      const { bytesRead } = await file.read(bytes, done, bytes.length - done, range.offsetBytes + done);
      // Objects never shrink by our hand: somebody else cut this one while it was read.
      if (bytesRead === 0) throw rangePastEnd(this.location, key, range, range.offsetBytes + done);
      done += bytesRead;
      options.onBytes?.(bytes, done);
    }
    return bytes;
  }

  /** Remembers that the root is there; throws UNREACHABLE when it was and is no more. */
  private async checkRoot(): Promise<void> {
    try {
      if (!(await stat(this.root)).isDirectory()) {
        throw new LazydiskError('REFUSED', `${this.location} is a file, and a repository is a directory.`, {
          facts: { location: this.location },
        });
      }
      this.rootState = 'seen';
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw this.failure(error, 'Looking up the directory');
      if (this.rootState === 'not seen yet') return;
      throw new LazydiskError('UNREACHABLE', `${this.location} has gone; check that its file system is mounted.`, {
        cause: error,
        facts: { location: this.location },
      });
    }
  }

  private failure(error: unknown, what: string): LazydiskError {
    return directoryError(error, this.location, what);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isAbsence(error)) return false;
    throw error;
  }
}
