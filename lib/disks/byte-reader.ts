/** Takes exact amounts from bytes that come in pieces of any size. */
export class ByteReader {
  readonly #pieces: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(pieces: AsyncIterable<Buffer>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** Exactly so many bytes. Rejects with EndOfBytes when they end before. */
  async take(lengthBytes: number): Promise<Buffer> {
    if (this.#rest.length >= lengthBytes) return this.#cut(lengthBytes);
    const bytes = Buffer.allocUnsafe(lengthBytes);
    await this.into(bytes);
    return bytes;
  }

  /** Fills `target`. */
  async into(target: Uint8Array): Promise<void> {
    for (let filled = 0; filled < target.length;) {
      if (this.#rest.length === 0) {
        const next = await this.#pieces.next();
        if (next.done === true) throw new EndOfBytes();
        this.#rest = next.value;
      }
      const piece = this.#cut(Math.min(target.length - filled, this.#rest.length));
      target.set(piece, filled);
      filled += piece.length;
    }
  }

  #cut(lengthBytes: number): Buffer {
    const bytes = this.#rest.subarray(0, lengthBytes);
    this.#rest = this.#rest.subarray(lengthBytes);
    return bytes;
  }
}

/** The bytes ended before what was wanted had come. */
export class EndOfBytes extends Error {
  constructor() {
    super('the other side ended the connection');
  }
}
