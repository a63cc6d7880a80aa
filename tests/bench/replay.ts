/**
 * Makes the reads of a trace on a file, one after the other as fast as they are answered, and compares every byte with the
 * original. A program of its own with little work: what is expected is in memory before the clock runs, and the file is
 * read with O_DIRECT, so that neither the page cache nor the comparison is what is measured.
 *
 *   replay.js TRACE ORIGINAL ACCESS      ACCESS: rw (open as a hypervisor would) or ro
 *
 * It says `ready`, then takes one line, the path, and answers with one line of JSON. Times are of the system's monotonic
 * clock in seconds, which all processes share.
 */
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseTrace, type TraceRead } from './trace.js';
import type { Background, Workspace } from './workspace.js';

export interface ReplayTimes {
  /** When the file was open. */
  readonly openedAt: number;
  /** When the first read was answered. */
  readonly firstReadAt: number;
  readonly endedAt: number;
  /** The slowest single read, seconds. */
  readonly slowestRead: number;
  readonly reads: number;
  readonly bytes: number;
}

export type Access = 'rw' | 'ro';

/** Seconds of the clock in which ReplayTimes are. */
export function monotonicSeconds(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

/** A replay that is loaded and waits for its file. */
export interface Replay {
  run(path: string): Promise<ReplayTimes>;
}

const PROGRAM = fileURLToPath(import.meta.url);

export async function prepareReplay(
  workspace: Workspace,
  files: { trace: string; original: string; access: Access },
): Promise<Replay> {
  const program = workspace.startProgram(process.execPath, [PROGRAM, files.trace, files.original, files.access], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  await nextLine(program, 0);
  return {
    run: async (path) => {
      program.child.stdin?.write(`${path}\n`);
      const answer = JSON.parse(await withinLimit(nextLine(program, 1))) as ReplayTimes | { readonly error: string };
      if ('error' in answer) throw new Error(answer.error);
      return answer;
    },
  };
}

/** A line of its output, by its number; rejects when it ends without. */
async function nextLine(program: Background, index: number): Promise<string> {
  for (;;) {
    const lines = program.output().split('\n');
    if (lines.length > index + 1) return lines[index] ?? '';
    if (program.hasEnded()) throw new Error(`replay: ${program.output().trim().split('\n').slice(-12).join(' ')}`);
    await new Promise((resolve) => {
      program.child.stdout?.once('data', resolve);
      program.child.once('exit', () => setTimeout(resolve, 20));
    });
  }
}

/** A boot that takes longer is no rival, and the other ways want their turn. */
const LIMIT_SECONDS = 120;

async function withinLimit<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`the boot was not done in ${String(LIMIT_SECONDS)} s`));
    }, LIMIT_SECONDS * 1000);
  });
  return Promise.race([work, limit]).finally(() => {
    clearTimeout(timer);
  });
}

const ALIGNMENT = 4096;
const PROBE_BYTES = 4 * ALIGNMENT;

/** An aligned read, and where in it and in memory the wanted bytes are. */
interface Step extends TraceRead {
  readonly expected: Buffer;
}

function load(trace: string, original: string): Step[] {
  const reads = parseTrace(readFileSync(trace, 'utf8'));
  const descriptor = openSync(original, constants.O_RDONLY);
  const memory = Buffer.alloc(reads.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0));
  let used = 0;
  const steps = reads.map(({ offset, lengthBytes }) => {
    const expected = memory.subarray(used, used + lengthBytes);
    used += lengthBytes;
    readFully(descriptor, expected, offset, lengthBytes);
    return { offset, lengthBytes, expected };
  });
  closeSync(descriptor);
  return steps;
}

function replay(path: string, steps: readonly Step[], access: Access): ReplayTimes {
  const mode = access === 'rw' ? constants.O_RDWR : constants.O_RDONLY;
  const descriptor = openSync(path, mode | constants.O_DIRECT);
  const openedAt = monotonicSeconds();
  const longest = Math.max(...steps.map(({ lengthBytes }) => lengthBytes));
  let target: { buffer: Buffer; grainBytes: number } | undefined;
  let firstReadAt = openedAt;
  let slowestRead = 0;
  let before = openedAt;
  let bytes = 0;
  for (const { offset, lengthBytes, expected } of steps) {
    // The first read finds out what the file asks of a buffer, and counts as any other.
    target ??= directBuffer(descriptor, longest + 2 * ALIGNMENT);
    const { buffer, grainBytes } = target;
    const skip = offset % grainBytes;
    const span = Math.ceil((skip + lengthBytes) / grainBytes) * grainBytes;
    readFully(descriptor, buffer, offset - skip, span);
    if (expected.compare(buffer, skip, skip + lengthBytes) !== 0) {
      throw new Error(`${String(lengthBytes)} bytes at ${String(offset)} of ${path} differ from the original`);
    }
    const now = monotonicSeconds();
    if (bytes === 0) firstReadAt = now;
    slowestRead = Math.max(slowestRead, now - before);
    before = now;
    bytes += lengthBytes;
  }
  closeSync(descriptor);
  return { openedAt, firstReadAt, endedAt: before, slowestRead, reads: steps.length, bytes };
}

function replayOrError(path: string, steps: readonly Step[], access: Access): ReplayTimes | { readonly error: string } {
  try {
    return replay(path, steps, access);
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** All bytes of the range, or fewer at the end of the file. */
function readFully(descriptor: number, buffer: Buffer, offset: number, lengthBytes: number): void {
  for (let done = 0; done < lengthBytes;) {
    const read = readSync(descriptor, buffer, done, lengthBytes - done, offset + done);
    if (read === 0) return;
    done += read;
  }
}

/**
 * Memory that O_DIRECT takes, and the alignment in the file: 512 bytes as the boot loader reads, or 4 KiB where that is
 * refused, as a hypervisor does. Node does not tell addresses, so the right start is found by trying.
 */
function directBuffer(descriptor: number, sizeBytes: number): { buffer: Buffer; grainBytes: number } {
  const memory = Buffer.alloc(sizeBytes + ALIGNMENT);
  for (const grainBytes of [512, ALIGNMENT]) {
    for (let start = 0; start < ALIGNMENT; start += 16) {
      const buffer = memory.subarray(start, start + sizeBytes);
      try {
        // One that crosses pages, since a short one may pass from where a longer one does not; and one of a grain.
        readSync(descriptor, buffer, 0, PROBE_BYTES, 0);
        readSync(descriptor, buffer, 0, grainBytes, grainBytes);
        return { buffer, grainBytes };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
      }
    }
  }
  throw new Error('the file takes no direct reads');
}

if (process.argv[1] === PROGRAM) {
  const [, , trace = '', original = '', access = 'ro'] = process.argv;
  const steps = load(trace, original);
  process.stdout.write('ready\n');
  for await (const path of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(replayOrError(path, steps, access === 'rw' ? 'rw' : 'ro'))}\n`);
  }
}
