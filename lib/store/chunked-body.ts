/**
 * The body of an answer whose length its server did not know at the beginning: chunks, each after its size (RFC 9112, 7.1).
 * Incremental: pieces go in as a connection brings them, data comes out as views of them. Extensions of a size are skipped,
 * trailers too.
 */
import { HttpError } from './http-message.js';

/** Longest line around the data: sizes with their extensions, trailers. */
const LONGEST_LINE_BYTES = 4096;
/** Most trailers: bounds how long an end can be put off. */
const MOST_TRAILERS = 64;

const LF = 0x0a;

export class ChunkedBody {
  private state: 'size' | 'data' | 'after-data' | 'trailers' | 'ended' = 'size';
  private line = '';
  private leftBytes = 0;
  private trailers = 0;

  get hasEnded(): boolean {
    return this.state === 'ended';
  }

  /** Hands the data in `piece` to `take`, and returns how many bytes of `piece` belong to the body. Throws HttpError. */
  feed(piece: Buffer, take: (data: Buffer) => void): number {
    let at = 0;
    while (at < piece.length && this.state !== 'ended') {
      if (this.state === 'data') {
        const end = Math.min(piece.length, at + this.leftBytes);
        take(piece.subarray(at, end));
        this.leftBytes -= end - at;
        at = end;
        if (this.leftBytes === 0) this.state = 'after-data';
        continue;
      }
      const end = piece.indexOf(LF, at);
      this.line += piece.toString('latin1', at, end < 0 ? piece.length : end);
      if (this.line.length > LONGEST_LINE_BYTES) throw new HttpError('a chunk of the answer has no size');
      at = end < 0 ? piece.length : end + 1;
      if (end >= 0) this.endOfLine();
    }
    return at;
  }

  private endOfLine(): void {
    const line = this.line.replace(/\r$/, '');
    this.line = '';
    if (this.state === 'after-data') {
      if (line !== '') throw new HttpError('a chunk of the answer is longer than its size');
      this.state = 'size';
    } else if (this.state === 'trailers') {
      if (line === '') this.state = 'ended';
      else if (++this.trailers > MOST_TRAILERS) throw new HttpError('the answer has too many trailers');
    } else {
      const size = /^([0-9a-f]{1,12})[ \t]*(?:;|$)/i.exec(line)?.[1];
      if (size === undefined) throw new HttpError('a chunk of the answer has no size');
      this.leftBytes = parseInt(size, 16);
      this.state = this.leftBytes === 0 ? 'trailers' : 'data';
    }
  }
}
