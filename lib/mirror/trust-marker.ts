/**
 * Which entries of the record may be believed without looking at their bytes: a small file beside the database.
 *
 * Each entry of the record carries an epoch, a random number. The marker names the one epoch whose entries are trusted, the
 * boot id under which it began, and the identity of each slot file. Another boot (nothing was synced), a replaced slot file
 * or a missing marker begin a new epoch: every older entry is verified from its slot at first use. Removing the marker needs
 * no space on the disk; that is how trust is given up when the database can't be written any more.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { errnoOf } from '../util/errors.js';

/** Bytes of an epoch. */
export const EPOCH_BYTES = 8;

const schema = z.object({
  bootId: z.string(),
  epoch: z.string().regex(/^[0-9a-f]{16}$/),
  /** Identity of the slot file by chunk size. */
  slotFiles: z.record(z.string(), z.string()),
});

export class TrustMarker {
  private constructor(
    private readonly path: string,
    private readonly bootId: string,
    private epochHex: string,
    private slotFiles: Record<string, string>,
  ) {}

  /** Reads the marker in `directory`; one that is missing, unreadable or of another boot begins a new epoch. */
  static read(directory: string, bootId: string): TrustMarker {
    const path = join(directory, 'trust.json');
    try {
      const found = schema.parse(JSON.parse(readFileSync(path, 'utf8')));
      if (found.bootId === bootId) return new TrustMarker(path, bootId, found.epoch, found.slotFiles);
    } catch {
      // Whatever is wrong with it, the answer is the same: nothing is trusted.
    }
    return new TrustMarker(path, bootId, newEpoch(), {});
  }

  get epoch(): Buffer {
    return Buffer.from(this.epochHex, 'hex');
  }

  slotFileIdentity(chunkSizeBytes: number): string | undefined {
    return this.slotFiles[String(chunkSizeBytes)];
  }

  /** Nothing that was recorded so far is trusted by the next open. Not written until `write`. */
  beginEpoch(): void {
    this.epochHex = newEpoch();
    this.slotFiles = {};
  }

  setSlotFileIdentity(chunkSizeBytes: number, identity: string): void {
    this.slotFiles[String(chunkSizeBytes)] = identity;
  }

  /** Replaces the file. Throws the error of node:fs. */
  write(): void {
    const text = JSON.stringify({ bootId: this.bootId, epoch: this.epochHex, slotFiles: this.slotFiles });
    writeFileSync(`${this.path}.new`, text, { mode: 0o600 });
    renameSync(`${this.path}.new`, this.path);
  }

  /** Removes the file. Throws the error of node:fs when it is still there. */
  remove(): void {
    try {
      unlinkSync(this.path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}

function newEpoch(): string {
  return randomBytes(EPOCH_BYTES).toString('hex');
}
