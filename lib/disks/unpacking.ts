/**
 * A packed input, unpacked on the way: gzip by Node, the others by their own programs between two pipes. The whole input is
 * read, also behind the end of what is packed, so that a checksum around it sees every byte.
 */
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { LazydiskError, messageOf } from '../util/errors.js';
import type { Input } from './input.js';
import { startProgram, type Program, type Started } from './programs.js';
import type { Packed } from './signatures.js';

/** Pieces of what Node unpacks have at most so many bytes. */
const PIECE_BYTES = 256 * 1024;

const PROGRAMS: Readonly<Record<Exclude<Packed['name'], 'gzip'>, { program: Program; args: readonly string[] }>> = {
  // -T0: as many threads as processors, for what was packed in blocks.
  xz: { program: { command: 'xz', package: 'xz-utils' }, args: ['-dcq', '-T0'] },
  zstd: { program: { command: 'zstd', package: 'zstd' }, args: ['-dcq'] },
};

/** UNSUPPORTED: the program is missing. Where the bytes would have come: DAMAGED, and what `input` throws. */
export async function unpacked(input: Input, name: string, packed: Packed): Promise<Input> {
  if (packed.name === 'gzip') return gunzipped(input, name);
  const { program, args } = PROGRAMS[packed.name];
  const why = `${name} is packed by ${packed.name}`;
  return byProgram(input, name, await startProgram(program, args, why, ['pipe', 'pipe', 'pipe']));
}

function gunzipped(input: Input, name: string): Input {
  const gunzip = createGunzip({ chunkSize: PIECE_BYTES });
  return {
    async *[Symbol.asyncIterator]() {
      const fed = feed(input, gunzip);
      try {
        for await (const piece of gunzip as AsyncIterable<Buffer>) yield piece;
      } catch (error) {
        throw error instanceof LazydiskError ? error : damaged(name, messageOf(error), error);
      }
      await fed;
    },
    async close() {
      gunzip.destroy();
      await input.close();
    },
  };
}

function byProgram(input: Input, name: string, { process: child, ended, end }: Started): Input {
  return {
    async *[Symbol.asyncIterator]() {
      const fed = feed(input, child.stdin!);
      try {
        for await (const piece of child.stdout! as AsyncIterable<Buffer>) yield piece;
      } catch (error) {
        await fed; // says it better when the input is the reason
        throw damaged(name, messageOf(error), error);
      }
      const { succeeded, said } = await ended;
      const outcome = await fed.then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      if (outcome !== undefined && outcome.error instanceof LazydiskError) throw outcome.error;
      if (!succeeded) throw damaged(name, said);
      if (outcome !== undefined) throw damaged(name, messageOf(outcome.error), outcome.error);
    },
    async close() {
      await end();
      await input.close();
    },
  };
}

/** Resolves when the input is at its end and all of it was taken. */
export function feed(input: Input, into: NodeJS.WritableStream): Promise<void> {
  const fed = new Promise<void>((resolve, reject) => {
    pipeline(Readable.from(input, { objectMode: true }), into, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
  fed.catch(() => undefined); // seen at the end of what comes out
  return fed;
}

function damaged(name: string, said: string, cause?: unknown): LazydiskError {
  return new LazydiskError('DAMAGED', `${name} can't be unpacked: ${said}; fetch or pack it again.`, { cause });
}
