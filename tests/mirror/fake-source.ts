/** A repository's segments in memory, with counters and faults, and mirrors in temporary folders over it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '../../lib/format/checksums.js';
import { encodePayload } from '../../lib/format/codec.js';
import type { ChunkReference } from '../../lib/format/references.js';
import type { ChunkSource, Lease, Mirror, SlotMap, WantedChunk } from '../../lib/mirror/api.js';
import { FIRST_SLOT } from '../../lib/mirror/api.js';
import { openMirror, type MirrorOptions } from '../../lib/mirror/mirror.js';
import type { OnBytes } from '../../lib/store/object-store.js';
import { noWorkers } from '../../lib/mirror/worker-fence.js';
import { LazydiskError } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';

export const CHUNK = 64 * 1024;

/** Bytes that only this number has. */
export function bytesOf(tag: number, chunkSizeBytes = CHUNK): Buffer {
  const bytes = Buffer.alloc(chunkSizeBytes);
  for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((tag * 2654435761 + at) >>> 0, at);
  return bytes;
}

/** Whether these are the bytes of that number. */
export function holds(bytes: Buffer | undefined, tag: number): boolean {
  return bytes !== undefined && bytesOf(tag, bytes.length).equals(bytes);
}

export interface Request {
  readonly segment: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** What happens to a request before it is answered; may change the bytes, throw, or never resolve. */
export type Fault = (request: Request, bytes: Buffer, signal: AbortSignal) => Promise<Buffer> | Buffer;

export class FakeSource implements ChunkSource {
  readonly requests: Request[] = [];
  fault: Fault | undefined;
  private readonly segments = new Map<string, Buffer>();

  /** A segment of chunks, tags first to first + count - 1, one after the other. */
  addSegment(name: string, first: number, count: number, chunkSizeBytes = CHUNK): ChunkReference[] {
    const parts = Array.from({ length: count }, (_, index) => bytesOf(first + index, chunkSizeBytes));
    this.segments.set(name, Buffer.concat(parts));
    return parts.map((bytes, index) => ({
      id: sha256(bytes),
      segment: name,
      offsetBytes: index * chunkSizeBytes,
      storedBytes: chunkSizeBytes,
      codec: 'none',
    }));
  }

  /** A segment of payloads that are stored with zstd where that is worthwhile. */
  async addCodedSegment(name: string, payloads: readonly Buffer[]): Promise<ChunkReference[]> {
    const coded = await Promise.all(payloads.map((payload) => encodePayload('zstd', payload)));
    this.segments.set(name, Buffer.concat(coded.map(({ stored }) => stored)));
    let offsetBytes = 0;
    return coded.map(({ codec, stored }, index) => {
      const place = { segment: name, offsetBytes, storedBytes: stored.length, codec };
      offsetBytes += stored.length;
      return { id: sha256(payloads[index]!), ...place };
    });
  }

  async read(request: Request, signal: AbortSignal, onBytes?: OnBytes): Promise<Buffer> {
    this.requests.push(request);
    const segment = this.segments.get(request.segment);
    if (segment === undefined) throw new LazydiskError('NOT_FOUND', `no segment ${request.segment}`);
    const bytes = Buffer.from(segment.subarray(request.offsetBytes, request.offsetBytes + request.lengthBytes));
    const given = this.fault === undefined ? bytes : await this.fault(request, bytes, signal);
    if (given.length > 0) onBytes?.(given, given.length);
    return given;
  }
}

export function wanted(references: readonly ChunkReference[], first = 0): WantedChunk[] {
  return references.map((reference, index) => ({ chunk: first + index, reference }));
}

/** Reads a chunk as a worker would: through the map; the transient bytes where there are any; undefined: not here. */
export function readChunk(mirror: Mirror, map: SlotMap, chunk: number, lease?: Lease): Buffer | undefined {
  const transient = lease?.transient(chunk);
  if (transient !== undefined) return Buffer.from(transient);
  const word = Atomics.load(map.words, chunk);
  if (word < FIRST_SLOT) return undefined;
  const bytes = Buffer.alloc(map.chunkSizeBytes);
  mirror.readSlot(map.chunkSizeBytes, word - FIRST_SLOT, 0, bytes);
  return bytes;
}

/** Collects what was logged. */
export class TestLog implements Log {
  readonly lines: string[] = [];
  info(message: string): void {
    this.lines.push(`info ${message}`);
  }
  warn(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.lines.push(`warn ${message} ${JSON.stringify(facts)}`);
  }
  error(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.lines.push(`error ${message} ${JSON.stringify(facts)}`);
  }
}

/** Temporary folders and mirrors of one test, all gone at the end. */
export class TestPlace {
  readonly log = new TestLog();
  readonly source = new FakeSource();
  private readonly mirrors: Mirror[] = [];

  private constructor(readonly directory: string) {}

  static async make(): Promise<TestPlace> {
    return new TestPlace(await mkdtemp(join(tmpdir(), 'lazydisk-mirror-')));
  }

  async open(options: Partial<MirrorOptions> = {}): Promise<Mirror> {
    const mirror = await openMirror({
      directory: join(this.directory, 'mirror'),
      quotaBytes: 1024 * 1024 * 1024,
      bootId: 'boot-1',
      source: this.source,
      fence: noWorkers,
      log: this.log,
      ...options,
    });
    this.mirrors.push(mirror);
    return mirror;
  }

  async remove(): Promise<void> {
    for (const mirror of this.mirrors) await mirror.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}
