/**
 * A disk of which each sector says whose it is and how often it was written, so that whoever finds one can tell what it is: for
 * tests in which many things are done to a disk at once.
 */
import { seededRandom } from '../helpers/seeded-random.js';

export const SECTOR = 512;
/** Sectors that belong to one lane before the next one's begin: no multiple of a block, so that lanes share blocks. */
export const STRIPE = 13;
export const STRIPES = 160;
export const SECTORS = STRIPE * STRIPES;
export const TAIL_START = SECTORS * SECTOR;

export type Dice = (most: number) => number;

export function diceOf(seed: number): Dice {
  const random = seededRandom(seed);
  return (most) => Math.floor(random() * most);
}

const ZEROS = Buffer.alloc(SECTOR);

/** What was done to each sector, by version: 0 is the zeros of the beginning. */
export class Sectors {
  readonly issued = new Uint32Array(SECTORS);
  readonly answered = new Uint32Array(SECTORS);
  private readonly isZero: (boolean | undefined)[][] = Array.from({ length: SECTORS }, () => [true]);

  begin(sector: number, zero: boolean): number {
    const version = ++this.issued[sector]!;
    this.isZero[sector]![version] = zero;
    return version;
  }

  /** A version that was asked for, failed and is not there: it must never come. */
  forget(sector: number, version: number): void {
    this.isZero[sector]![version] = undefined;
  }

  /** Which of the versions from `least` to `most` the bytes are; undefined: none of them. */
  find(sector: number, bytes: Buffer, least: number, most: number): number | undefined {
    if (bytes.equals(ZEROS)) {
      for (let version = most; version >= least; version--) if (this.isZero[sector]![version]) return version;
      return undefined;
    }
    const version = bytes.readUInt32LE(4);
    if (version < least || version > most || this.isZero[sector]![version] !== false) return undefined;
    return bytes.equals(stamped(sector, version)) ? version : undefined;
  }
}

export function stamped(sector: number, version: number): Buffer {
  const bytes = Buffer.alloc(SECTOR, (sector * 31 + version * 7) & 0xff);
  bytes.writeUInt32LE(sector + 1, 0);
  bytes.writeUInt32LE(version, 4);
  return bytes;
}

/** The end of the disk, as it was and may be: its bytes from TAIL_START on. */
export class Tail {
  readonly states: Buffer[] = [Buffer.alloc(0)];
  answered = 0;

  get bytes(): Buffer {
    return this.states.at(-1)!;
  }

  has(bytes: Buffer, least: number, most: number): boolean {
    return this.states.slice(least, most + 1).some((state) => state.equals(bytes));
  }
}

export function resized(bytes: Buffer, size: number): Buffer {
  const next = Buffer.alloc(size);
  bytes.copy(next, 0, 0, Math.min(size, bytes.length));
  return next;
}
