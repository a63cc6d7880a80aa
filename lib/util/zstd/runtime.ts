/** zstd of the runtime: node:zlib has it from Node 22.15 on. Large data is coded on libuv's pool. */
import * as zlib from 'node:zlib';
import { promisify } from 'node:util';
import { HERE_BYTES, isDecodedHere, type Zstd } from './zstd.js';

/** The smallest piece of output that node:zlib accepts. */
const MIN_PIECE_BYTES = 64;

interface Options {
  readonly params?: Readonly<Record<number, number>>;
  readonly pledgedSrcSize?: number;
  readonly maxOutputLength?: number;
  readonly chunkSize?: number;
}

type Sync = (bytes: Uint8Array, options: Options) => Buffer;
type Async = (bytes: Uint8Array, options: Options, done: (error: Error | null, result: Buffer) => void) => void;

/** What later versions of node:zlib have; the types are those of the oldest supported Node. */
interface ZlibWithZstd {
  readonly zstdCompress: Async;
  readonly zstdCompressSync: Sync;
  readonly zstdDecompress: Async;
  readonly zstdDecompressSync: Sync;
  readonly constants: { readonly ZSTD_c_compressionLevel: number };
}

/** undefined where this Node has none. */
export function runtimeZstd(): Zstd | undefined {
  const own = zlib as unknown as Partial<ZlibWithZstd>;
  return typeof own.zstdCompress === 'function' ? bind(own as ZlibWithZstd) : undefined;
}

function bind(own: ZlibWithZstd): Zstd {
  const compress = promisify(own.zstdCompress);
  const decompress = promisify(own.zstdDecompress);
  return {
    name: 'runtime',
    compress: async (bytes, level) => {
      const params = { [own.constants.ZSTD_c_compressionLevel]: level };
      const options = { params, pledgedSrcSize: bytes.length };
      return bytes.length <= HERE_BYTES ? own.zstdCompressSync(bytes, options) : compress(bytes, options);
    },
    // It has its own memory for the result.
    decompress: async (frame, sizeBytes, how) => {
      const options = { maxOutputLength: sizeBytes, chunkSize: Math.max(sizeBytes, MIN_PIECE_BYTES) };
      return isDecodedHere(sizeBytes, how) ? own.zstdDecompressSync(frame, options) : decompress(frame, options);
    },
  };
}
