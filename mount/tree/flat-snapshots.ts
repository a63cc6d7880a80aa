/**
 * Snapshots that are kept as flat files, as the control API asks for them: found by name, made or dropped.
 */
import type { Catalogue, Disk } from '../../lib/image/api.js';
import type { FlatFile, FlatStore } from '../../lib/image/flat-files.js';
import { LazydiskError } from '../../lib/util/errors.js';

/** What `keepFlat` answers. */
export interface FlatResult extends FlatFile {
  readonly image: string;
  readonly number: number;
}

export class FlatSnapshots {
  constructor(
    private readonly catalogue: Catalogue,
    private readonly files: FlatStore,
  ) {}

  /** Makes the flat file of a snapshot, or makes sure that it is there. The next first open of the snapshot uses it. NOT_FOUND, NO_SPACE. */
  async keepFlat(image: string, number: number): Promise<FlatResult> {
    return { image, number, ...(await this.files.make(await this.#find(image, number))) };
  }

  /** Removes the flat file; false when there was none. Who reads it goes on. NOT_FOUND. */
  async dropFlat(image: string, number: number): Promise<boolean> {
    return this.files.drop((await this.#find(image, number)).contentId);
  }

  async #find(image: string, number: number): Promise<Disk> {
    const found = await this.catalogue.find(image);
    if (found !== undefined) return found.snapshot(number);
    throw new LazydiskError('NOT_FOUND', `There is no image ${image}.`, { facts: { image } });
  }
}
