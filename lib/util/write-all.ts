/** Writing whole buffers: a disk that becomes full takes a part of a write without an error, and says so only to the next one. */
import type { FileHandle } from 'node:fs/promises';

/** Writes all of `bytes` at `position`, in bytes. Rejects with the error of node:fs; then a part may have been written. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}
