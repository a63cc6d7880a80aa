/**
 * One sparse file of fixed-size slots, for all chunks of one size: bytes in and out, nothing about what they are.
 *
 * Slot n stands at n * chunkSizeBytes, whole. Free slots are holes: what the file occupies is what its chunks need. Reads
 * and writes go by position, so that workers share the descriptor. The file is never synced: its content is verified again
 * after a boot (slot-record.ts). Calls on one slot are ordered by the callers.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, read, readSync, write, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Bytes, SlotNumber } from '../format/geometry.js';
import { LazydiskError, messageOf } from '../util/errors.js';
import { fallocate } from '../util/syscalls.js';
import type { SlotFile } from './api.js';

const readAt = promisify(read);
const writeAt = promisify(write);

/** The name of the file that holds chunks of this size. */
export function slotFileName(chunkSizeBytes: Bytes): string {
  return `slots-${String(chunkSizeBytes)}`;
}

/** Up to this size a slot is written on this thread: a copy into the page cache, 0.1 ms for 256 KiB. */
const WRITTEN_HERE_BYTES = 1024 * 1024;
/** A write that takes longer met a disk that can't keep up, and the kernel makes writers wait. */
const SLOW_WRITE_MS = 20;
/** After it, other threads do the waiting for so long. */
const SLOW_DISK_MS = 1000;

export class OpenSlotFile implements SlotFile {
  readonly referenced: Uint8Array<SharedArrayBuffer>;
  /** Until then no write is made on this thread. */
  private slowUntilMs = 0;

  private constructor(
    readonly chunkSizeBytes: Bytes,
    readonly descriptor: number,
    capacity: number,
  ) {
    this.referenced = new Uint8Array(new SharedArrayBuffer(capacity));
  }

  /** Opens or creates the file (0600) in `directory`. `capacity`: slots that it may ever have. IO. */
  static open(directory: string, chunkSizeBytes: Bytes, capacity: number): OpenSlotFile {
    const path = join(directory, slotFileName(chunkSizeBytes));
    try {
      const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
      return new OpenSlotFile(chunkSizeBytes, descriptor, capacity);
    } catch (error) {
      throw new LazydiskError('IO', `The slot file ${path} can't be opened: ${messageOf(error)}.`, { cause: error });
    }
  }

  /** Which file this is: another one in its place has another identity. The inode alone won't do, it is used again at once. */
  identity(): string {
    const stats = fstatSync(this.descriptor, { bigint: true });
    return `${String(stats.dev)}:${String(stats.ino)}:${String(stats.birthtimeNs)}`;
  }

  sizeBytes(): Bytes {
    return fstatSync(this.descriptor).size;
  }

  allocatedBytes(): Bytes {
    return fstatSync(this.descriptor).blocks * 512;
  }

  /** Writes a whole slot. Rejects with the error of node:fs (ENOSPC, EDQUOT, EIO). */
  async write(slot: SlotNumber, bytes: Uint8Array): Promise<void> {
    const offset = slot * this.chunkSizeBytes;
    const beganMs = performance.now();
    if (bytes.length <= WRITTEN_HERE_BYTES && beganMs >= this.slowUntilMs) {
      for (let done = 0; done < bytes.length;) {
        done += writeSync(this.descriptor, bytes, done, bytes.length - done, offset + done);
      }
      const nowMs = performance.now();
      if (nowMs - beganMs > SLOW_WRITE_MS) this.slowUntilMs = nowMs + SLOW_DISK_MS;
      return;
    }
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await writeAt(this.descriptor, bytes, done, bytes.length - done, offset + done);
      done += bytesWritten;
    }
  }

  /** Reads a whole slot; what lies beyond the end of the file is zeros. Rejects with the error of node:fs. */
  async read(slot: SlotNumber): Promise<Buffer> {
    const bytes = Buffer.alloc(this.chunkSizeBytes);
    const offset = slot * this.chunkSizeBytes;
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await readAt(this.descriptor, bytes, done, bytes.length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes;
  }

  /** Fills `target` from the slot, beginning `offset` bytes into it. IO. */
  readSync(slot: SlotNumber, offset: Bytes, target: Uint8Array): void {
    const position = slot * this.chunkSizeBytes + offset;
    for (let done = 0; done < target.length;) {
      let count: number;
      try {
        count = readSync(this.descriptor, target, done, target.length - done, position + done);
      } catch (error) {
        throw new LazydiskError('IO', `A local chunk can't be read: ${messageOf(error)}.`, { cause: error });
      }
      if (count === 0) throw new LazydiskError('IO', 'The slot file is shorter than its record says.');
      done += count;
    }
  }

  /** Frees the space of `count` slots from `first` on. Throws the error of the system call. */
  punch(first: SlotNumber, count: number): void {
    fallocate(this.descriptor, 'punch-hole', first * this.chunkSizeBytes, count * this.chunkSizeBytes);
  }

  /** Drops what lies behind the first `slots` slots; never makes the file longer. */
  cutAfter(slots: number): void {
    if (this.sizeBytes() > slots * this.chunkSizeBytes) ftruncateSync(this.descriptor, slots * this.chunkSizeBytes);
  }

  close(): void {
    closeSync(this.descriptor);
  }
}
