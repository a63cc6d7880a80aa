/**
 * What a disk image may show, sector by sector, when what was not synced may be gone.
 *
 * Each write has a number that stands in all its sectors, so that every sector tells which write it is from; 0 is zeros. The
 * model keeps for each sector, and for the size, all states since the last one that a sync has covered.
 */

export const SECTOR = 512;

/** Where a sync began: what was there then must survive once it has returned. */
export interface Mark {
  readonly sectors: readonly number[];
  readonly size: number;
}

export class SectorModel {
  private readonly sectors: number[][];
  private readonly sizes: number[];

  constructor(
    readonly maxSectors: number,
    sizeSectors: number,
  ) {
    this.sectors = Array.from({ length: maxSectors }, () => [0]);
    this.sizes = [sizeSectors];
  }

  get sizeSectors(): number {
    return this.sizes.at(-1)!;
  }

  /** The bytes of a write. */
  static bytes(tag: number, first: number, count: number): Buffer {
    const bytes = Buffer.alloc(count * SECTOR);
    for (let at = 0; at < bytes.length; at += 8) {
      bytes.writeUInt32LE(tag, at);
      bytes.writeUInt32LE(tag === 0 ? 0 : first + Math.floor(at / SECTOR), at + 4);
    }
    return bytes;
  }

  /** Something may be written from now on: with tag 0 zeros. */
  write(tag: number, first: number, count: number): void {
    for (let sector = first; sector < Math.min(first + count, this.maxSectors); sector++)
      this.sectors[sector]!.push(tag);
  }

  resize(sizeSectors: number): void {
    if (sizeSectors < this.sizeSectors) this.write(0, sizeSectors, this.maxSectors);
    this.sizes.push(sizeSectors);
  }

  mark(): Mark {
    return { sectors: this.sectors.map((history) => history.length), size: this.sizes.length };
  }

  /** A sync that began at the mark has returned. */
  synced(mark: Mark): void {
    this.sectors.forEach((history, sector) => history.splice(0, mark.sectors[sector]! - 1));
    this.sizes.splice(0, mark.size - 1);
  }

  /** What is wrong with these bytes, or undefined. What they show is the only state from then on. */
  settle(bytes: Buffer): string | undefined {
    if (bytes.length % SECTOR !== 0 || !this.sizes.includes(bytes.length / SECTOR)) {
      return `a size of ${bytes.length} bytes, expected one of ${this.sizes.map((size) => size * SECTOR).join(', ')}`;
    }
    for (let sector = 0; sector < this.maxSectors; sector++) {
      const found = sector * SECTOR < bytes.length ? bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR) : undefined;
      const tag = found?.readUInt32LE(0) ?? 0;
      if (found !== undefined) {
        if (!found.equals(SectorModel.bytes(tag, sector, 1)))
          return `sector ${sector} holds what no write has written there`;
        const allowed = this.sectors[sector]!;
        if (!allowed.includes(tag)) return `sector ${sector} is of write ${tag}, expected one of ${allowed.join(', ')}`;
      }
      this.sectors[sector] = [tag];
    }
    this.sizes.splice(0, this.sizes.length, bytes.length / SECTOR);
    return undefined;
  }
}
