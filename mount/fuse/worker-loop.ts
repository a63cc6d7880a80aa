/**
 * The loop of a worker: read a request, serve it when everything is here, else hand it to the main thread.
 *
 * Synchronous from end to end: no promise and no event loop on the way, which is what makes it fast (docs/ARCHITECTURE.md
 * has the figures). A READ or WRITE of a known plane is tried here; whatever does not succeed at once is forwarded as a copy
 * of its bytes, and answered by the main thread alone. FORGETs end here: lookup counts do not matter.
 *
 * The rule of the gate (lib/image/plane.ts): the worker's word is odd from the end of the read of the device to the end of
 * the reply, and a plane is used only when, after that, its gate was seen open and no newer planes after the gate. In the
 * other order a worker could miss a plane that is published, and then find the gate open again that guarded the change.
 *
 * Nothing is allocated on the way of a request that is served here: buffers and views are made once, numbers are 32-bit
 * words, the unique number is copied as two of them.
 */
import { CONTROL_GATE, type Plane } from '../../lib/image/plane.js';
import { errnoOf, messageOf } from '../../lib/util/errors.js';
import { errnoNumber } from './errno.js';
import { MAX_DATA_BYTES, REPLY_HEADER_BYTES, REQUEST_BUFFER_BYTES, REQUEST_HEADER_BYTES } from './protocol/limits.js';
import { RESENT_BIT, WRITE_DATA_POSITION } from './protocol/limits.js';
import { hasReply, Opcode } from './protocol/opcodes.js';
import { COUNT_FORWARDED, COUNT_READ_BYTES, COUNT_READS, COUNT_WRITE_BYTES, COUNT_WRITES } from './worker-messages.js';

/** What the loop stands on. */
export interface WorkerParts {
  /** Reads one request into the buffer and returns its length; throws as readSync does. */
  readonly receive: (buffer: Buffer) => number;
  /** Writes the first bytes of the buffer as one reply; throws as writeSync does. */
  readonly reply: (buffer: Buffer, lengthBytes: number) => void;
  /** Takes newer planes, if there are. False: none may be used now. */
  readonly refresh: () => boolean;
  /** Whether no planes came since `refresh`. */
  readonly isCurrent: () => boolean;
  readonly find: (node: number) => Plane | undefined;
  /** As in lib/image/serve.ts: the length, or `miss`. */
  readonly serveRead: (plane: Plane, offset: number, length: number, out: Buffer, outPosition: number) => number;
  readonly serveWrite: (plane: Plane, bytes: Buffer, position: number, offset: number, length: number) => number;
  readonly miss: number;
  /** Requests that an earlier daemon had taken get EIO: one of them may be what kills daemons. */
  readonly refusesResent: boolean;
  readonly forward: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly trouble: (message: string) => void;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly wordIndex: number;
  readonly counters: Float64Array<SharedArrayBuffer>;
}

/** Offsets with a high word from here on are beyond 2^53. */
const HIGH_WORD_LIMIT = 2 ** 21;
const HIGH_WORD = 2 ** 32;
const WRITTEN_REPLY_BYTES = REPLY_HEADER_BYTES + 8;

// Places of 32-bit words in a request: the header, then what READ and WRITE have in common.
const WORD_LENGTH = 0;
const WORD_OPCODE = 1;
const WORD_UNIQUE = 2;
const WORD_NODE = 4;
const WORD_OFFSET = 12;
const WORD_SIZE = 14;

/** Serves until the file system is unmounted. Throws when the device fails: then the worker is dead. */
export function serveRequests(parts: WorkerParts): void {
  const { words, wordIndex } = parts;
  const loop = new WorkerLoop(parts);
  let word = Atomics.load(words, wordIndex);
  for (;;) {
    const lengthBytes = loop.next();
    if (lengthBytes === UNMOUNTED) return;
    if (lengthBytes === NOTHING) continue;
    word = (word + 1) | 0;
    Atomics.store(words, wordIndex, word);
    loop.serve(lengthBytes);
    word = (word + 1) | 0;
    Atomics.store(words, wordIndex, word);
  }
}

const UNMOUNTED = -1;
const NOTHING = -2;

class WorkerLoop {
  private readonly request = touched(REQUEST_BUFFER_BYTES);
  private readonly requestWords = wordsOf(this.request);
  private readonly out = touched(REPLY_HEADER_BYTES + MAX_DATA_BYTES);
  private readonly outWords = wordsOf(this.out);

  constructor(private readonly parts: WorkerParts) {}

  /** Length of the next request, or one of UNMOUNTED and NOTHING. */
  next(): number {
    try {
      const lengthBytes = this.parts.receive(this.request);
      if (lengthBytes >= REQUEST_HEADER_BYTES) return lengthBytes;
    } catch (error) {
      const code = errnoOf(error);
      // The request was withdrawn while it was read, or a signal came.
      if (code === 'ENOENT' || code === 'EINTR' || code === 'EAGAIN') return NOTHING;
      if (code === 'ENODEV') return UNMOUNTED;
      throw error;
    }
    throw new Error('The kernel sent a request without a whole header.');
  }

  serve(lengthBytes: number): void {
    try {
      const opcode = this.requestWords[WORD_OPCODE]!;
      if (this.isRefused(opcode)) {
        this.send(REPLY_HEADER_BYTES, errnoNumber('EIO'));
      } else if (opcode === Opcode.READ) {
        if (!this.read()) this.forward(lengthBytes);
      } else if (opcode === Opcode.WRITE) {
        if (!this.write(lengthBytes)) this.forward(lengthBytes);
      } else if (opcode !== Opcode.FORGET && opcode !== Opcode.BATCH_FORGET && opcode !== Opcode.NOTIFY_REPLY) {
        this.forward(lengthBytes);
      }
    } catch (error) {
      this.fail(error);
    }
  }

  private isRefused(opcode: number): boolean {
    return this.parts.refusesResent && (this.requestWords[WORD_UNIQUE + 1]! & RESENT_BIT) !== 0 && hasReply(opcode);
  }

  private read(): boolean {
    const { parts, requestWords: words } = this;
    const plane = this.plane();
    if (plane === undefined) return false;
    const high = words[WORD_OFFSET + 1]!;
    const size = words[WORD_SIZE]!;
    if (high >= HIGH_WORD_LIMIT || size > MAX_DATA_BYTES) return false;
    let served;
    try {
      served = parts.serveRead(plane, words[WORD_OFFSET]! + high * HIGH_WORD, size, this.out, REPLY_HEADER_BYTES);
    } catch {
      // The local disk failed: the main thread tries again, answers, and sees to it that a chunk is fetched anew.
      return false;
    }
    if (served === parts.miss) return false;
    parts.counters[COUNT_READS]! += 1;
    parts.counters[COUNT_READ_BYTES]! += served;
    this.send(REPLY_HEADER_BYTES + served, 0);
    return true;
  }

  private write(lengthBytes: number): boolean {
    const { parts, requestWords: words } = this;
    const plane = this.plane();
    if (plane === undefined) return false;
    const high = words[WORD_OFFSET + 1]!;
    const size = words[WORD_SIZE]!;
    // A request that is not what it says is the main thread's, which answers it with an error.
    if (high >= HIGH_WORD_LIMIT || words[WORD_LENGTH] !== lengthBytes) return false;
    if (WRITE_DATA_POSITION + size > lengthBytes) return false;
    let served;
    try {
      const offset = words[WORD_OFFSET]! + high * HIGH_WORD;
      served = parts.serveWrite(plane, this.request, WRITE_DATA_POSITION, offset, size);
    } catch (error) {
      const code = errnoOf(error);
      // The disk is full: the main thread makes the mirror give way, and writes again.
      if (code === 'ENOSPC' || code === 'EDQUOT') return false;
      throw error;
    }
    if (served === parts.miss) return false;
    parts.counters[COUNT_WRITES]! += 1;
    parts.counters[COUNT_WRITE_BYTES]! += served;
    this.outWords[4] = served;
    this.outWords[5] = 0;
    this.send(WRITTEN_REPLY_BYTES, 0);
    return true;
  }

  /**
   * The plane of the request, safe to use until the request ends: had a change of it begun before the gate was loaded, the
   * gate would be set, or the change be over and the generation raised; one that begins later waits for this worker.
   */
  private plane(): Plane | undefined {
    const { parts, requestWords: words } = this;
    const node = words[WORD_NODE]! + words[WORD_NODE + 1]! * HIGH_WORD;
    while (parts.refresh()) {
      const plane = parts.find(node);
      if (plane === undefined || Atomics.load(plane.control, CONTROL_GATE) !== 0) return undefined;
      if (parts.isCurrent()) return plane;
    }
    return undefined;
  }

  private forward(lengthBytes: number): void {
    const copy = new Uint8Array(lengthBytes);
    copy.set(this.request.subarray(0, lengthBytes));
    this.parts.counters[COUNT_FORWARDED]! += 1;
    this.parts.forward(copy);
  }

  /** An exception on the way: EIO, once, and the worker goes on. */
  private fail(error: unknown): void {
    const opcode = this.requestWords[WORD_OPCODE]!;
    this.parts.trouble(`a worker failed to serve a request: ${messageOf(error)}`);
    if (hasReply(opcode)) this.send(REPLY_HEADER_BYTES, errnoNumber('EIO'));
  }

  private send(lengthBytes: number, errno: number): void {
    const out = this.outWords;
    out[0] = lengthBytes;
    // A view of unsigned words: the negative errno wraps as the kernel reads it.
    out[1] = -errno;
    out[2] = this.requestWords[WORD_UNIQUE]!;
    out[3] = this.requestWords[WORD_UNIQUE + 1]!;
    for (;;) {
      try {
        this.parts.reply(this.out, lengthBytes);
        return;
      } catch (error) {
        const code = errnoOf(error);
        // Not taken yet: a reply that is lost would leave its caller waiting for ever.
        if (code === 'EINTR' || code === 'EAGAIN' || code === 'ENOMEM') continue;
        // ENOENT: the request was aborted. ENODEV: unmounted, the next read says so.
        if (code === 'ENOENT' || code === 'ENODEV') return;
        this.parts.trouble(`the kernel refused a reply: ${messageOf(error)}`);
        if (errno !== 0) return;
        this.send(REPLY_HEADER_BYTES, errnoNumber('EIO'));
        return;
      }
    }
  }
}

/**
 * A buffer whose pages exist. The kernel copies a request into it after it has taken the request off its queue: a page fault
 * that a kill interrupts there would turn the request into EIO instead of leaving it to the next daemon.
 */
function touched(lengthBytes: number): Buffer {
  return Buffer.allocUnsafeSlow(lengthBytes).fill(0);
}

/** 32-bit words over a whole buffer; both start at the same byte. Little-endian machines only, as the protocol layer. */
function wordsOf(buffer: Buffer): Uint32Array {
  return new Uint32Array(buffer.buffer, buffer.byteOffset, Math.floor(buffer.byteLength / 4));
}
