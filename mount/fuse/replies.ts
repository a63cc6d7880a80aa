/**
 * Writes replies of the main thread to the device, each in one call.
 *
 * After `close` nothing is written: the descriptor's number may belong to another file by then, and a late reply must not
 * end up in it.
 */
import { writevSync } from 'node:fs';
import { errnoOf, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { errnoNumber } from './errno.js';
import { replyHeader } from './protocol/encode.js';

export class Replies {
  private closed = false;

  constructor(
    private readonly device: number,
    private readonly log: Log,
  ) {}

  /** A request that succeeded. The body may be empty. */
  body(unique: bigint, body: Uint8Array): void {
    const header = replyHeader(unique, 0, body.byteLength);
    const refused = this.write(body.byteLength === 0 ? [header] : [header, body]);
    if (refused) this.error(unique, errnoNumber('EIO'));
  }

  /** A request that failed, with a positive errno. */
  error(unique: bigint, errno: number): void {
    this.write([replyHeader(unique, errno, 0)]);
  }

  close(): void {
    this.closed = true;
  }

  /** Whether the kernel refused the reply as such: then the request still waits for one. */
  private write(parts: Uint8Array[]): boolean {
    while (!this.closed) {
      try {
        writevSync(this.device, parts);
        return false;
      } catch (error) {
        const code = errnoOf(error);
        // Not taken yet: a reply that is lost would leave its caller waiting for ever.
        if (code === 'EINTR' || code === 'EAGAIN' || code === 'ENOMEM') continue;
        // ENOENT: the request was aborted. ENODEV: unmounted.
        if (code === 'ENOENT' || code === 'ENODEV') return false;
        this.log.error(`fuse: the kernel refused a reply: ${messageOf(error)}`);
        return true;
      }
    }
    return false;
  }
}
