/**
 * Open files by the number that libfuse carries for us: 32 bits and never 0, while handles of our file system are wider.
 */
import { FsError } from '../errno.js';
import type { Opened } from '../file-system.js';

const LAST_NUMBER = 2 ** 31 - 1;

export interface OpenFile {
  readonly node: number;
  readonly handle: number;
  /** A control or status file: it may take as long as its command. */
  readonly isControl: boolean;
}

export class OpenFiles {
  private readonly files = new Map<number, OpenFile>();
  private last = 0;

  /** The number of a file that was opened. */
  add(node: number, opened: Opened): number {
    do this.last = this.last === LAST_NUMBER ? 1 : this.last + 1;
    while (this.files.has(this.last));
    this.files.set(this.last, { node, handle: opened.handle, isControl: opened.directIo });
    return this.last;
  }

  /** EBADF for a number that is not open. */
  get(number: number): OpenFile {
    const file = this.files.get(number);
    if (file === undefined) throw new FsError('EBADF', `There is no open file with the number ${String(number)}.`);
    return file;
  }

  remove(number: number): void {
    this.files.delete(number);
  }
}
