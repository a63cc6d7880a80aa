/**
 * zstd on every Node that is supported, without a compiler at installation.
 *
 * Three implementations of one contract, the best one that is here is used: the runtime's own (Node 22.15 and later), the
 * system's libzstd.so.1 (Debian and its relatives always have it: dpkg needs it), WebAssembly as the floor. They decode what
 * the others encode. The choice is made at the first use, so that a program which meets no zstd loads none of them.
 * docs/decisions/0007-zstd.md has the figures.
 */
import { frameContentSize } from './frame.js';

export interface DecodeOptions {
  /** Memory of exactly the decoded size that may be used for the result, until the promise has settled. */
  readonly into?: Buffer | undefined;
  /** 'this': the caller prefers a pause of this thread to the way to another one. Default 'any': large data goes elsewhere. */
  readonly thread?: 'this' | 'any';
}

/** One way to code and decode zstd. Both may run on this thread or on another one; the bytes must not change meanwhile. */
export interface Zstd {
  readonly name: 'runtime' | 'library' | 'webassembly';
  /** One frame that says its content size. */
  compress(bytes: Uint8Array, level: number): Promise<Uint8Array>;
  /** Decodes one frame whose header says `sizeBytes`; never writes more. Rejects when the frame is damaged. */
  decompress(frame: Uint8Array, sizeBytes: number, options?: DecodeOptions): Promise<Uint8Array>;
}

/** Below this much plain data, the way to another thread costs more than the work. */
export const HERE_BYTES = 32 * 1024;

/** Whether data that decodes to so much is decoded on this thread. */
export function isDecodedHere(sizeBytes: number, options: DecodeOptions | undefined): boolean {
  return options?.thread === 'this' || sizeBytes <= HERE_BYTES;
}

let chosen: Promise<Zstd> | undefined;

/** One frame. `level`: 1 to 19. */
export async function compress(bytes: Uint8Array, level: number): Promise<Uint8Array> {
  return (await theBest()).compress(bytes, level);
}

/**
 * Decodes exactly one frame that gives exactly `sizeBytes`; undefined when `frame` is anything else. What is allocated is
 * bounded by `sizeBytes`, whatever the frame says.
 */
export async function decompress(
  frame: Uint8Array,
  sizeBytes: number,
  options?: DecodeOptions,
): Promise<Uint8Array | undefined> {
  if (frameContentSize(frame) !== sizeBytes) return undefined;
  const into = options?.into;
  if (into !== undefined && into.length !== sizeBytes) throw new RangeError('memory of another size than the payload');
  const zstd = await theBest();
  const bytes = await zstd.decompress(frame, sizeBytes, options).catch(() => undefined);
  return bytes?.length === sizeBytes ? bytes : undefined;
}

/** All implementations that work here, the best one first: at least WebAssembly. */
export async function implementations(): Promise<Zstd[]> {
  const [runtime, library, webassembly] = await Promise.all([
    import('./runtime.js').then(({ runtimeZstd }) => runtimeZstd()),
    import('./library.js').then(({ libraryZstd }) => libraryZstd()),
    import('./webassembly.js').then(({ webassemblyZstd }) => webassemblyZstd()),
  ]);
  return [runtime, library, webassembly].filter((zstd) => zstd !== undefined);
}

function theBest(): Promise<Zstd> {
  return (chosen ??= choose());
}

async function choose(): Promise<Zstd> {
  const { runtimeZstd } = await import('./runtime.js');
  const runtime = runtimeZstd();
  if (runtime !== undefined) return runtime;
  const { libraryZstd } = await import('./library.js');
  const library = await libraryZstd();
  if (library !== undefined) return library;
  const { webassemblyZstd } = await import('./webassembly.js');
  return webassemblyZstd();
}
