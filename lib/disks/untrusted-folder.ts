/**
 * Files of a folder for which nobody vouches, by names that the folder itself gives: none leads out of it, whatever links and dots are in it.
 */
import { constants } from 'node:fs';
import { lstat, open, realpath, type FileHandle } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { Bytes } from '../format/geometry.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';
import { shown } from './oci-choice.js';

export class UntrustedFolder {
  /** `name`: what it is called in messages. */
  constructor(
    private readonly path: string,
    readonly name: string,
  ) {}

  /** Whether a regular file is there, which is no link. IO. */
  async has(path: string): Promise<boolean> {
    try {
      return (await lstat(join(this.path, path))).isFile();
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false;
      throw this.#unreadable(path, error);
    }
  }

  /** A regular file, to be closed by the caller. DAMAGED: nothing is there, something else, or a link to the outside. IO. */
  async open(path: string): Promise<{ file: FileHandle; sizeBytes: Bytes }> {
    let file: FileHandle | undefined;
    try {
      // A link to somewhere else would have what is there read, and its hash told.
      const [root, real] = await Promise.all([realpath(this.path), realpath(join(this.path, path))]);
      if (!real.startsWith(root.endsWith(sep) ? root : root + sep)) {
        throw this.damaged(`has a link out of it at ${shown(path)}`);
      }
      // A pipe would keep us waiting.
      file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const stat = await file.stat();
      if (!stat.isFile()) throw this.damaged(`has no file at ${shown(path)}`);
      return { file, sizeBytes: stat.size };
    } catch (error) {
      await file?.close();
      if (error instanceof LazydiskError) throw error;
      if (errnoOf(error) === 'ENOENT') throw this.damaged(`lacks ${shown(path)}`, error);
      throw this.#unreadable(path, error);
    }
  }

  /** All of a file that has at most `mostBytes`. As `open`; DAMAGED: it has more. */
  async read(path: string, mostBytes: Bytes): Promise<Buffer> {
    const { file, sizeBytes } = await this.open(path);
    try {
      if (sizeBytes > mostBytes) throw this.damaged(`has a ${shown(path)} of ${sizeBytes} bytes`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  damaged(what: string, cause?: unknown): LazydiskError {
    return new LazydiskError('DAMAGED', `${this.name} ${what}; copy the image again.`, { cause });
  }

  #unreadable(path: string, error: unknown): LazydiskError {
    return new LazydiskError('IO', `${this.name}: ${shown(path)} can't be read: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}
