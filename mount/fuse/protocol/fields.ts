/**
 * Reads the fields of one request, in order or by position, within its bounds. Whatever does not fit throws a Misfit, which
 * decode.ts turns into a value; nothing else here throws.
 */
import { FIRST_INEXACT } from './limits.js';

/** A field that can't be read: with the errno that answers the request. */
export class Misfit extends Error {
  constructor(
    readonly errno: string,
    reason: string,
  ) {
    super(reason);
  }
}

export class Fields {
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get lengthBytes(): number {
    return this.bytes.byteLength;
  }

  u32(position: number): number {
    this.need(position, 4);
    return this.view.getUint32(position, true);
  }

  /** All 64 bits. */
  u64(position: number): bigint {
    this.need(position, 8);
    return this.view.getBigUint64(position, true);
  }

  /** A 64-bit number that must be exact in a double; `errno` answers one that is not. */
  exact(position: number, what: string, errno: string): number {
    this.need(position, 8);
    const value = this.view.getUint32(position, true) + this.view.getUint32(position + 4, true) * 2 ** 32;
    if (value >= FIRST_INEXACT) throw new Misfit(errno, `${what} is beyond 2^53`);
    return value;
  }

  /** Signed seconds and nanoseconds as milliseconds. */
  milliseconds(secondsPosition: number, nanosecondsPosition: number): number {
    this.need(secondsPosition, 8);
    const seconds =
      this.view.getUint32(secondsPosition, true) + this.view.getInt32(secondsPosition + 4, true) * 2 ** 32;
    if (!Number.isSafeInteger(seconds * 1000)) throw new Misfit('EINVAL', 'time is out of range');
    return seconds * 1000 + Math.floor(this.u32(nanosecondsPosition) / 1e6);
  }

  /** The name that starts here, without its final zero, and where the next field starts. */
  name(position: number): { name: string; end: number } {
    if (position > this.bytes.byteLength) throw new Misfit('EIO', 'request is shorter than its operation');
    const end = this.bytes.indexOf(0, position);
    if (end < 0) throw new Misfit('EIO', 'name has no end');
    if (end === position) throw new Misfit('EINVAL', 'name is empty');
    const name = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + position, end - position).toString('utf8');
    return { name, end: end + 1 };
  }

  slice(position: number, lengthBytes: number): Uint8Array {
    this.need(position, lengthBytes);
    return this.bytes.subarray(position, position + lengthBytes);
  }

  private need(position: number, lengthBytes: number): void {
    if (position + lengthBytes > this.bytes.byteLength) {
      throw new Misfit('EIO', 'request is shorter than its operation');
    }
  }
}
