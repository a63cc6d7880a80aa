/**
 * Export: a snapshot becomes a sparse raw file (export-file.ts), a thin container (export-container.ts), or a stream of all its
 * bytes (export-stream.ts). Every chunk is verified before it is written.
 */
import type { Writable } from 'node:stream';
import type { Bytes } from '../format/geometry.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { LazydiskError } from '../util/errors.js';
import type { Repository, TreeReader } from './api.js';
import { streamChunks } from './chunk-stream.js';
import { writeContainer, type ContainerFormat } from './export-container.js';
import { writeFile } from './export-file.js';
import { writeStream, type Piece } from './export-stream.js';
import { throwIfAborted } from './single-flight.js';

export interface ExportOptions {
  readonly image: string;
  /** The newest when it is not given. */
  readonly number?: number | undefined;
  readonly target:
    | {
        readonly kind: 'file';
        readonly path: string;
        /** Replace what is there. */ readonly force?: boolean | undefined;
        /** Raw and sparse by default. */ readonly format?: 'raw' | ContainerFormat | undefined;
      }
    | { readonly kind: 'stream'; readonly stream: Writable };
  readonly trees?: TreeReader | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ExportProgress) => void) | undefined;
}

export interface ExportProgress {
  /** How far in the image, bytes. */
  readonly processedBytes: Bytes;
  readonly totalBytes: Bytes;
  readonly downloadedBytes: Bytes;
}

export interface ExportResult {
  readonly image: string;
  readonly number: number;
  readonly sizeBytes: Bytes;
  readonly downloadedBytes: Bytes;
  /** False when the reader of the stream went away before the end. */
  readonly complete: boolean;
}

/** NOT_FOUND, EXISTS (the target), UNSUPPORTED (a program is missing), DAMAGED, IO, NO_SPACE, ABORTED, and the errors of the store. */
export async function exportImage(repository: Repository, options: ExportOptions): Promise<ExportResult> {
  const { image, target, signal } = options;
  const record = await findRecord(repository, image, options.number, signal);
  const progress = new Progress(record.sizeBytes, options.onProgress);
  const chunks = pieces(repository, record, options, progress);
  const complete = await write(target, record.sizeBytes, chunks, signal);
  const { number, sizeBytes } = record;
  return { image, number, sizeBytes, downloadedBytes: progress.downloadedBytes, complete };
}

/** False when the reader of a stream went away. */
function write(
  target: ExportOptions['target'],
  sizeBytes: Bytes,
  chunks: AsyncIterable<Piece>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (target.kind === 'stream') return writeStream(target.stream, sizeBytes, chunks, signal);
  const { path, force = false, format = 'raw' } = target;
  if (format === 'raw') return writeFile(path, force, sizeBytes, chunks);
  return writeContainer(path, force, format, sizeBytes, chunks);
}

async function findRecord(
  repository: Repository,
  image: string,
  number: number | undefined,
  signal: AbortSignal | undefined,
): Promise<SnapshotRecord> {
  if (number !== undefined) return repository.readRecord(image, number, signal);
  const newest = (await repository.listImage(image, signal)).snapshots.at(-1);
  if (newest !== undefined) return repository.readRecord(image, newest.number, signal);
  throw new LazydiskError('NOT_FOUND', `${image} has no snapshot in ${repository.store.location}.`, {
    facts: { image },
  });
}

async function* pieces(
  repository: Repository,
  record: SnapshotRecord,
  { trees, signal }: ExportOptions,
  progress: Progress,
): AsyncGenerator<Piece> {
  for await (const { chunk, bytes } of streamChunks(repository.store, trees ?? repository.trees(), record, signal)) {
    throwIfAborted(signal);
    const offset = chunk * record.chunkSizeBytes;
    yield { offset, bytes: bytes.subarray(0, Math.min(bytes.length, record.sizeBytes - offset)) };
    progress.advance(offset + bytes.length, bytes.length);
  }
  progress.advance(record.sizeBytes, 0);
}

class Progress {
  downloadedBytes = 0;

  constructor(
    private readonly totalBytes: Bytes,
    private readonly report: ExportOptions['onProgress'],
  ) {}

  advance(processedBytes: Bytes, downloadedBytes: Bytes): void {
    this.downloadedBytes += downloadedBytes;
    this.report?.({
      processedBytes: Math.min(processedBytes, this.totalBytes),
      totalBytes: this.totalBytes,
      downloadedBytes: this.downloadedBytes,
    });
  }
}
