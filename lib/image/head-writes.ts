/**
 * Writing to a head on the main thread: what workers hand over, and everything that is not a plain write.
 *
 * A request is prepared asynchronously (the chunks that its edge blocks need are fetched and held), then applied in a gate
 * section from the start, without an await between check and change; again when the base moved or a chunk is not here after
 * all. Only a write of whole blocks needs neither: like a worker's, it can but make states `data`.
 */
import { BLOCK_SIZE, blockCount, MAX_IMAGE_BYTES } from '../format/geometry.js';
import type { Lease } from '../mirror/api.js';
import { throwIfAborted } from '../util/abort.js';
import { LazydiskError } from '../util/errors.js';
import { foreignEdges, writeComposed } from './compose.js';
import { baseChunks } from './disk-reader.js';
import type { HeadState } from './head-state.js';
import { withRoom } from './room.js';
import { isFromBase, isFromLayer, writeHere } from './serve.js';
import { zeroStretches } from './zeroing.js';

export class HeadWrites {
  constructor(private readonly state: HeadState) {}

  async write(offset: number, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (bytes.length === 0) return;
    const { state } = this;
    const end = offset + bytes.length;
    assertWithinLimit(end);
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    await this.withRoom(async () => {
      const plane = state.plane(0);
      const top = state.top(plane);
      if (end <= state.capacityBytes && foreignEdges(top, offset, bytes.length).length === 0) {
        this.upTo(end, () => {
          writeHere(plane, top, buffer, 0, offset, bytes.length);
          return true;
        });
        return;
      }
      await this.prepared(offset, end, signal, (lease) => {
        state.reserve(end);
        const now = state.plane(0);
        return this.upTo(end, () =>
          writeComposed(now, state.top(now), offset, buffer, (chunk) => lease.transient(chunk)),
        );
      });
    });
  }

  /** Exactly so long, whatever else happens meanwhile. */
  async truncate(sizeBytes: number, signal?: AbortSignal): Promise<void> {
    assertWithinLimit(sizeBytes);
    await this.withRoom(async () => {
      if (sizeBytes > this.state.sizeBytes) await this.growTo(sizeBytes);
      if (sizeBytes < this.state.sizeBytes) {
        await this.prepared(sizeBytes, sizeBytes, signal, (lease) => this.shrink(sizeBytes, lease));
      }
    });
  }

  /** At least so long. */
  async extend(sizeBytes: number): Promise<void> {
    assertWithinLimit(sizeBytes);
    await this.withRoom(() => this.growTo(sizeBytes));
  }

  /** Zeros, never beyond the end, never changing the size. */
  async punch(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<void> {
    const { state } = this;
    await this.withRoom(async () => {
      const end = Math.min(offset + lengthBytes, state.sizeBytes);
      if (offset >= end) return;
      await this.prepared(offset, end, signal, (lease) => this.zero(offset, Math.min(end, state.sizeBytes), lease));
    });
  }

  /** Zeros; the disk grows to the end of the range unless `keepSize`. */
  async zeroRange(offset: number, lengthBytes: number, keepSize: boolean, signal?: AbortSignal): Promise<void> {
    const end = offset + lengthBytes;
    if (!keepSize) await this.extend(end);
    await this.punch(offset, lengthBytes, signal);
  }

  private async growTo(sizeBytes: number): Promise<void> {
    const { state } = this;
    await state.section(() => {
      state.assertUsable();
      if (sizeBytes <= state.sizeBytes) return;
      state.clearRemains();
      state.reserve(sizeBytes);
      state.grow(sizeBytes);
    });
  }

  /** In one turn: writes, and makes the disk end where the write ends, if that is later. What `write` returns. */
  private upTo(end: number, write: () => boolean): boolean {
    const { state } = this;
    if (end <= state.sizeBytes) return write();
    state.clearRemains();
    try {
      const done = write();
      if (done) state.grow(end);
      return done;
    } catch (error) {
      state.noteRemains();
      throw error;
    }
  }

  private async prepared(
    offset: number,
    end: number,
    signal: AbortSignal | undefined,
    apply: (lease: Lease) => boolean,
  ): Promise<void> {
    const { state } = this;
    for (;;) {
      state.assertUsable();
      const { base } = state;
      const letGo = state.hold(base);
      try {
        const lease = await base.ensure(this.edgeChunks(offset, end), signal);
        try {
          const isDone = await state.section(() => {
            state.assertUsable();
            return state.base === base && apply(lease);
          });
          if (isDone) return;
        } catch (error) {
          base.disown(error);
          throw error;
        } finally {
          lease.release();
        }
      } finally {
        letGo();
      }
      throwIfAborted(signal);
    }
  }

  /** The chunks from which the blocks at either end of a range would be composed; of an empty range, the block that it cuts. */
  private edgeChunks(offset: number, end: number): number[] {
    const plane = this.state.plane(0);
    const top = this.state.top(plane);
    const cutBlock = offset % BLOCK_SIZE === 0 ? [] : [Math.floor(offset / BLOCK_SIZE)];
    const edges = end > offset ? foreignEdges(top, offset, end - offset) : cutBlock;
    return edges.flatMap((block) => baseChunks(plane, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE));
  }

  /** In a section. False, with nothing changed, when a chunk is missing. */
  private shrink(sizeBytes: number, lease: Lease): boolean {
    const { state } = this;
    const blockEnd = Math.min(state.sizeBytes, Math.ceil(sizeBytes / BLOCK_SIZE) * BLOCK_SIZE);
    if (blockEnd > sizeBytes && !this.zeroPart(sizeBytes, blockEnd, lease)) return false;
    const cutBlock = blockCount(sizeBytes);
    const top = state.topLayer;
    top.blocks.forEachTouchedGroup((first, end) => {
      if (end > cutBlock) top.zeroBlocks(Math.max(first, cutBlock), end - 1);
    });
    state.cut(sizeBytes);
    return true;
  }

  /** In a section. Makes [offset, end) zero. False when a chunk is missing; then an edge may be zero already. */
  private zero(offset: number, end: number, lease: Lease): boolean {
    if (offset >= end) return true;
    const { state } = this;
    const first = Math.ceil(offset / BLOCK_SIZE);
    // A block that ends the disk counts as whole: there is nothing behind it.
    const last = (end === state.sizeBytes ? blockCount(end) : Math.floor(end / BLOCK_SIZE)) - 1;
    if (first > last + 1) return this.zeroPart(offset, end, lease);
    if (offset < first * BLOCK_SIZE && !this.zeroPart(offset, Math.min(end, first * BLOCK_SIZE), lease)) return false;
    if (end > (last + 1) * BLOCK_SIZE && !this.zeroPart((last + 1) * BLOCK_SIZE, end, lease)) return false;
    const top = state.topLayer;
    for (const [from, to] of zeroStretches(state.layers, state.base, first, last)) top.zeroBlocks(from, to);
    state.written();
    return true;
  }

  /** In a section. Zeros a part of one block. */
  private zeroPart(offset: number, end: number, lease: Lease): boolean {
    const { state } = this;
    const plane = state.plane(0);
    const block = Math.floor(offset / BLOCK_SIZE);
    const isBelow = isFromBase(plane.layers, block);
    const isZero = isBelow && state.base.isKnownZero(Math.floor(offset / plane.chunkSizeBytes));
    if (isZero || !(isBelow || isFromLayer(plane.layers, block))) return true;
    return writeComposed(plane, state.top(plane), offset, Buffer.alloc(end - offset), (chunk) =>
      lease.transient(chunk),
    );
  }

  private withRoom(job: () => Promise<void>): Promise<void> {
    return withRoom(this.state.parts.mirror, job);
  }
}

function assertWithinLimit(end: number): void {
  if (end > MAX_IMAGE_BYTES) {
    throw new LazydiskError('TOO_LARGE', `An image can have at most 8 TiB; this would make it ${end} bytes long.`);
  }
}
