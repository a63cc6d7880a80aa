/** Keeps bytes that come once where they can be read by position, for as long as they are needed. */
import { write } from 'node:fs';
import { promisify } from 'node:util';
import { LazydiskError } from '../util/errors.js';
import type { Input } from './input.js';
import { temporaryError, UnnamedFile } from './temporary.js';

const writeTo = promisify(write);

/** All of `input` in a file without a name, which the caller closes. NO_SPACE, IO, and what `input` throws. */
export async function spool(input: Input): Promise<UnnamedFile> {
  const file = UnnamedFile.create();
  try {
    for await (const piece of input) {
      for (let done = 0; done < piece.length;) {
        done += (await writeTo(file.descriptor, piece, done, piece.length - done, null)).bytesWritten;
      }
    }
    return file;
  } catch (error) {
    file.close();
    throw error instanceof LazydiskError ? error : temporaryError(error);
  }
}
