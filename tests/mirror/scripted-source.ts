/** A source whose GETs bring what the test lets them bring, when it says so. */
import type { ChunkSource } from '../../lib/mirror/api.js';
import type { OnBytes } from '../../lib/store/object-store.js';
import { CHUNK, FakeSource, type Request } from './fake-source.js';

/** One GET on its way. */
export class ScriptedGet {
  readonly done: Promise<Buffer>;
  aborted = false;
  private whole: Buffer;
  private filledBytes = 0;
  private settle: { resolve: (whole: Buffer) => void; reject: (error: unknown) => void } | undefined;

  constructor(
    readonly request: Request,
    private readonly stored: Buffer,
    signal: AbortSignal,
    private readonly onBytes: OnBytes,
  ) {
    this.whole = Buffer.alloc(stored.length);
    this.done = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    signal.addEventListener('abort', () => {
      this.aborted = true;
    });
  }

  /** First chunk and number of chunks that were asked for. */
  get chunks(): readonly [first: number, count: number] {
    return [this.request.offsetBytes / CHUNK, this.request.lengthBytes / CHUNK];
  }

  /** So many more bytes come. */
  bring(bytes: number): void {
    const end = Math.min(this.stored.length, this.filledBytes + bytes);
    this.stored.copy(this.whole, this.filledBytes, this.filledBytes, end);
    this.filledBytes = end;
    this.onBytes(this.whole, end);
  }

  /** The connection broke and the source tries again: nothing is here any more, in another buffer. */
  beginAgain(): void {
    this.whole.fill(0xee); // whoever still looks at the old buffer reads nonsense
    this.whole = Buffer.alloc(this.stored.length);
    this.filledBytes = 0;
  }

  /** Damages a byte that has not come yet. */
  spoil(offset: number): void {
    this.stored[offset]! ^= 1;
  }

  finish(): void {
    this.bring(this.stored.length - this.filledBytes);
    this.settle?.resolve(this.whole);
  }

  fail(error: unknown): void {
    this.settle?.reject(error);
  }
}

export class ScriptedSource implements ChunkSource {
  readonly gets: ScriptedGet[] = [];
  /** GETs that come now are answered at once. */
  isOpen = false;

  constructor(private readonly segments: FakeSource) {}

  async read(request: Request, signal: AbortSignal, onBytes: OnBytes = () => undefined): Promise<Buffer> {
    const stored = await this.segments.read(request, signal);
    const get = new ScriptedGet(request, stored, signal, onBytes);
    this.gets.push(get);
    if (this.isOpen) get.finish();
    return get.done;
  }

  /** The n-th GET, when it has begun. */
  async get(n: number): Promise<ScriptedGet> {
    await until(() => this.gets.length > n);
    return this.gets[n]!;
  }
}

/** Waits for a fact; the time limit of the test is the limit. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
