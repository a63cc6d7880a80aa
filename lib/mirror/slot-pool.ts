/**
 * All that belongs to the chunks of one size: the slot file, the table of what its slots hold, and the maps that name them.
 */
import type { Bytes, SlotNumber } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import { OpenSlotFile } from './slot-file.js';
import { SlotMaps } from './slot-maps.js';
import { SlotTable } from './slot-table.js';

/** A slot number is 32 bits in a map; so many slots are 4 TiB of the smallest chunks. */
const MOST_SLOTS = 2 ** 26;
/** Room for a file system that grows while it is mounted. */
const HEADROOM = 1.25;
const FEWEST_SLOTS = 1024;

export class SlotPool {
  readonly table: SlotTable;
  readonly maps: SlotMaps;
  /** Where the clock's hand stands (eviction.ts). */
  hand: SlotNumber = 0;
  private opened: OpenSlotFile | undefined;

  /** `diskBytes`: size of the file system that holds the slot file. */
  constructor(
    private readonly directory: string,
    readonly chunkSizeBytes: Bytes,
    diskBytes: Bytes,
  ) {
    const slots = Math.ceil((diskBytes * HEADROOM) / chunkSizeBytes);
    this.table = new SlotTable(chunkSizeBytes, Math.min(MOST_SLOTS, Math.max(FEWEST_SLOTS, slots)));
    this.maps = new SlotMaps(chunkSizeBytes);
  }

  /** Opens the slot file, or creates it. IO. */
  open(): OpenSlotFile {
    this.opened ??= OpenSlotFile.open(this.directory, this.chunkSizeBytes, this.table.capacity);
    return this.opened;
  }

  get file(): OpenSlotFile {
    if (this.opened === undefined) throw new LazydiskError('IO', 'The slot file is not open.');
    return this.opened;
  }

  close(): void {
    this.opened?.close();
    this.opened = undefined;
  }
}
