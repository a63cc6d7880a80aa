/** zstd in WebAssembly, on this thread: the floor, where neither the runtime nor the system has it. */
import type { Zstd } from './zstd.js';

/** Loads the module at the first call. */
export async function webassemblyZstd(): Promise<Zstd> {
  const { compress, decompress, init } = await import('@bokuweb/zstd-wasm');
  await init();
  return {
    name: 'webassembly',
    compress: async (bytes, level) => compress(bytes, level),
    // It allocates what the header of the frame says, which the caller has compared with what it expects.
    decompress: async (frame) => decompress(frame),
  };
}
