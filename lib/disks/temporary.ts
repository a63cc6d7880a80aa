/**
 * What an import or export needs on the local disk for its own time, and how it goes away even when lazydisk is killed: a file
 * has no name, and a folder is watched by a shell that removes it when lazydisk is gone.
 *
 * Both lie in TMPDIR, or /var/tmp, since /tmp is often in memory.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { randomId } from '../format/checksums.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';

/** Reads its input to the end, which comes with the end of lazydisk at the latest, then removes the folder. */
const JANITOR = `trap '' HUP INT TERM; cat >/dev/null; chmod -R u+rwX -- "$1" 2>/dev/null; rm -rf -- "$1"`;

export interface TemporaryFolder {
  /** Only its owner may look into it. */
  readonly path: string;
  /** Resolves when it is gone. */
  remove(): Promise<void>;
}

/** A file without a name. Other programs open it as `/proc/self/fd/N` when they inherit it. */
export class UnnamedFile {
  private constructor(readonly descriptor: number) {}

  /** IO, NO_SPACE. */
  static create(): UnnamedFile {
    const path = join(temporaryRoot(), `.lazydisk-${randomId()}`);
    try {
      const descriptor = openSync(path, 'wx+', 0o600);
      unlinkSync(path);
      return new UnnamedFile(descriptor);
    } catch (error) {
      throw temporaryError(error);
    }
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

export function createTemporaryFolder(): TemporaryFolder {
  let path: string;
  try {
    path = mkdtempSync(join(temporaryRoot(), 'lazydisk-'));
  } catch (error) {
    throw temporaryError(error);
  }
  const janitor = spawn('/bin/sh', ['-c', JANITOR, 'sh', path], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const ended = once(janitor, 'close');
  // It must not keep lazydisk from ending: that is what it waits for.
  janitor.unref();
  return {
    path,
    async remove() {
      janitor.ref();
      janitor.stdin.end();
      await ended;
    },
  };
}

/** NO_SPACE or IO, with what to do. */
export function temporaryError(error: unknown): LazydiskError {
  const code = errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT' ? 'NO_SPACE' : 'IO';
  return new LazydiskError(
    code,
    `${temporaryRoot()} can't hold what is needed for a while: ${messageOf(error)}; set TMPDIR to a folder with more room.`,
    { cause: error },
  );
}

export function temporaryRoot(): string {
  return process.env['TMPDIR'] ?? '/var/tmp';
}
