/**
 * zstd of the system: libzstd.so.1, called through koffi. Large data is coded on koffi's threads.
 *
 * A call that runs elsewhere works on the memory of our buffers: whoever waits for it holds them (`running`), since koffi
 * does not. At most CALLS_AT_ONCE run; koffi refuses more than 256.
 */
import { HERE_BYTES, isDecodedHere, type Zstd } from './zstd.js';

const CALLS_AT_ONCE = 16;

/** Memory to compress into is kept for later calls up to this size: half of the collections of an import were for its sake. */
const KEPT_BYTES = 1024 * 1024 + 8192;

/** A function of the library: called here, or on another thread. The last argument of `async` is told the outcome. */
interface ForeignFunction {
  (...values: readonly unknown[]): unknown;
  readonly async: (...values: readonly unknown[]) => void;
}

interface Library {
  readonly compress: ForeignFunction;
  readonly createCCtx: ForeignFunction;
  readonly compressCCtx: ForeignFunction;
  readonly decompress: ForeignFunction;
  readonly createDCtx: ForeignFunction;
  readonly decompressDCtx: ForeignFunction;
  readonly compressBound: ForeignFunction;
  readonly isError: ForeignFunction;
  readonly getErrorName: ForeignFunction;
}

/** undefined where the library is not installed. */
export async function libraryZstd(): Promise<Zstd | undefined> {
  const library = await load();
  return library === undefined ? undefined : bind(library);
}

async function load(): Promise<Library | undefined> {
  const { default: koffi } = await import('koffi');
  try {
    const library = koffi.load('libzstd.so.1');
    return {
      compress: library.func(
        'size_t ZSTD_compress(void *to, size_t capacity, const void *from, size_t length, int level)',
      ),
      createCCtx: library.func('void *ZSTD_createCCtx()'),
      compressCCtx: library.func(
        'size_t ZSTD_compressCCtx(void *context, void *to, size_t capacity, const void *from, size_t length, int level)',
      ),
      decompress: library.func('size_t ZSTD_decompress(void *to, size_t capacity, const void *from, size_t length)'),
      createDCtx: library.func('void *ZSTD_createDCtx()'),
      decompressDCtx: library.func(
        'size_t ZSTD_decompressDCtx(void *context, void *to, size_t capacity, const void *from, size_t length)',
      ),
      compressBound: library.func('size_t ZSTD_compressBound(size_t length)'),
      isError: library.func('unsigned int ZSTD_isError(size_t result)'),
      getErrorName: library.func('const char *ZSTD_getErrorName(size_t result)'),
    };
  } catch {
    return undefined;
  }
}

function bind(library: Library): Zstd {
  const calls = new Calls();
  const kept: Buffer[] = [];
  /** For the calls on this thread, which follow each other; the others make one for each call. */
  let context: unknown;
  let compressing: { readonly context: unknown; readonly to: Buffer } | undefined;
  const checked = (result: unknown): number => {
    if (library.isError(result) !== 0) throw new Error(`zstd: ${String(library.getErrorName(result))}`);
    return Number(result);
  };
  return {
    name: 'library',
    compress: async (bytes, level) => {
      const bound = Number(library.compressBound(Math.max(bytes.length, HERE_BYTES)));
      if (bytes.length <= HERE_BYTES) {
        compressing ??= { context: library.createCCtx(), to: Buffer.allocUnsafeSlow(bound) };
        const { to } = compressing;
        const length = checked(library.compressCCtx(compressing.context, to, to.length, bytes, bytes.length, level));
        return Buffer.from(to.subarray(0, length));
      }
      const to = takeLargeEnough(kept, bound) ?? Buffer.allocUnsafeSlow(bound);
      const values = [to, to.length, bytes, bytes.length, level];
      const length = checked(await calls.run(library.compress, values));
      const frame = Buffer.from(to.subarray(0, length));
      if (to.length <= KEPT_BYTES && kept.length < CALLS_AT_ONCE) kept.push(to);
      return frame;
    },
    decompress: async (frame, sizeBytes, options) => {
      const to = options?.into ?? Buffer.allocUnsafeSlow(sizeBytes);
      const values = [to, to.length, frame, frame.length];
      if (isDecodedHere(sizeBytes, options)) {
        context ??= library.createDCtx();
        return to.subarray(0, checked(library.decompressDCtx(context, ...values)));
      }
      return to.subarray(0, checked(await calls.run(library.decompress, values)));
    },
  };
}

/** The last one that was kept, if it is large enough; one that is too small is dropped. */
function takeLargeEnough(kept: Buffer[], sizeBytes: number): Buffer | undefined {
  const last = kept.pop();
  return last !== undefined && last.length >= sizeBytes ? last : undefined;
}

/** Calls on other threads, some at once, the others in the order in which they came. */
class Calls {
  /** Arguments of the calls that run: held here, whatever becomes of whoever waits. */
  readonly #running = new Set<readonly unknown[]>();
  readonly #waiting: (() => void)[] = [];

  run(call: ForeignFunction, values: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const start = (): void => {
        this.#running.add(values);
        call.async(...values, (error: unknown, result: unknown) => {
          this.#running.delete(values);
          this.#waiting.shift()?.();
          if (error === null || error === undefined) resolve(result);
          else reject(error instanceof Error ? error : new Error('zstd: the call failed'));
        });
      };
      if (this.#running.size < CALLS_AT_ONCE) start();
      else this.#waiting.push(start);
    });
  }
}
