/**
 * Workers that serve planes, against the kernel. Needs root, /dev/fuse, and the built `dist`.
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BELOW,
  CONTROL_GATE,
  CONTROL_WHOLE_BLOCKS,
  CONTROL_WORDS,
  DATA,
  NO_CUT,
  STATES_PER_FLAG,
  type Plane,
} from '../../lib/image/plane.js';
import type { KernelDriver } from '../../mount/fuse/kernel-driver.js';
import { exitOf, firstOutput, startPython } from './child.js';
import { MemoryFileSystem } from './memory-file-system.js';

const built = new URL('../../dist/mount/fuse/', import.meta.url);
const { createKernelDriver } = (await import(
  new URL('kernel-driver.js', built).href
)) as typeof import('../../mount/fuse/kernel-driver.js');
const { FsError } = (await import(new URL('errno.js', built).href)) as typeof import('../../mount/fuse/errno.js');

const BLOCKS = 256;
const SIZE = BLOCKS * 4096;
/** The first serves from the start; the others come while a test runs. */
const WORKERS = 4;

let folder: string;
let mountpoint: string;
let driver: KernelDriver;
let files: MemoryFileSystem;
let node: number;
let descriptors: number[];

/** A file of one byte, repeated, as the only layer of a plane. */
function layerFile(name: string, byte: string): { data: number; side: number } {
  const data = openSync(join(folder, name), 'w+');
  const side = openSync(join(folder, `${name}.side`), 'w+');
  descriptors.push(data, side);
  writeSync(data, Buffer.alloc(SIZE, byte), 0, SIZE, 0);
  ftruncateSync(side, 4096 + BLOCKS);
  return { data, side };
}

/** Two layers on the same file that have every other block each, so that a read takes many steps. */
function planeOf(control: Uint32Array<SharedArrayBuffer>, { data, side }: { data: number; side: number }): Plane {
  const flags = Math.ceil(BLOCKS / STATES_PER_FLAG);
  const layer = (states: Uint8Array<SharedArrayBuffer>) => ({
    states,
    changed: new Uint8Array(new SharedArrayBuffer(flags)),
    touched: new Uint8Array(new SharedArrayBuffer(flags)),
    dataDescriptor: data,
    sideDescriptor: side,
    cutBlock: NO_CUT,
  });
  const states = (of: (block: number) => number) =>
    shared(Uint8Array.from({ length: BLOCKS }, (_, block) => of(block)));
  return {
    key: node,
    control,
    writable: true,
    chunkSizeBytes: 65536,
    slots: null,
    slotCount: 0,
    slotDescriptor: -1,
    slotReferenced: null,
    touches: null,
    layers: [layer(states(() => DATA)), layer(states((block) => (block % 2 === 0 ? DATA : BELOW)))],
  };
}

function shared(bytes: Uint8Array): Uint8Array<SharedArrayBuffer> {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

function newControl(): Uint32Array<SharedArrayBuffer> {
  const control = new Uint32Array(new SharedArrayBuffer(4 * CONTROL_WORDS));
  control[CONTROL_WHOLE_BLOCKS] = BLOCKS;
  return control;
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-planes-'));
  mountpoint = mkdtempSync(join(tmpdir(), 'lazydisk-fuse-'));
  descriptors = [];
  files = new MemoryFileSystem((code) => new FsError(code));
  // What the main thread would answer differs from what the workers answer.
  node = files.add(1, 'disk.raw', 'file', Buffer.alloc(SIZE, 'm'));
  const log = () => undefined;
  driver = createKernelDriver({ workers: WORKERS, othersAfterMs: 100, log: { info: log, warn: log, error: log } });
  await driver.start(files, { mountpoint, source: 'memory://test', allowOther: false, readOnly: false });
});

afterEach(async () => {
  await driver.abort();
  await driver.ended;
  for (const descriptor of descriptors) closeSync(descriptor);
  rmSync(mountpoint, { recursive: true });
  rmSync(folder, { recursive: true });
});

describe('workers', () => {
  it('read and write a plane that was published, also before the first request', async () => {
    driver.planes.publish(planeOf(newControl(), layerFile('a', 'a')));
    const file = await open(join(mountpoint, 'disk.raw'), 'r+');
    const bytes = Buffer.alloc(SIZE);
    await file.read(bytes, 0, SIZE, 0);
    expect(bytes.every((byte) => byte === 97)).toBe(true);
    await file.write(Buffer.alloc(8192, 'w'), 0, 8192, 4096);
    await file.close();
    expect(readFileSync(join(folder, 'a')).toString('utf8', 4095, 12289)).toBe(`a${'w'.repeat(8192)}a`);
    const counts = driver.statistics();
    expect([counts.localReadBytes, counts.localWriteBytes]).toEqual([SIZE, 8192]);
    expect(files.calls).not.toContain('read');
    expect(files.calls).not.toContain('write');
  });

  it('leave a plane alone that was withdrawn, and one whose gate is set', async () => {
    const control = newControl();
    driver.planes.publish(planeOf(control, layerFile('a', 'a')));
    Atomics.store(control, CONTROL_GATE, 1);
    const firstByte = async () => {
      const file = await open(join(mountpoint, 'disk.raw'), 'r');
      const bytes = Buffer.alloc(1);
      await file.read(bytes, 0, 1, 0);
      await file.close();
      return bytes.toString();
    };
    expect(await firstByte()).toBe('m');
    Atomics.store(control, CONTROL_GATE, 0);
    expect(await firstByte()).toBe('a');
    driver.planes.withdraw(node);
    expect(await firstByte()).toBe('m');
  });

  it('never use a plane once its change is over, those that start late neither', async () => {
    // Readers see `a` and `b` files alternately; the one that is not published is overwritten with `x`.
    let current = layerFile('a', 'a');
    let other = layerFile('b', 'b');
    const control = newControl();
    driver.planes.publish(planeOf(control, current));
    files.bytesOf('disk.raw').fill('a');
    const readers = [1, 2, 3].map(() =>
      startPython(
        `
import mmap, os, select, sys
f = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
size = ${String(SIZE)}
m = mmap.mmap(-1, size)
print("started", flush=True)
rounds = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    n = os.preadv(f, [m], 0)
    rounds += 1
    seen = m[:n].translate(None, b"ab")
    if n != size or len(seen) > 0:
        print("wrong", n, seen[:10], flush=True)
        sys.exit(1)
sys.exit(0 if rounds > 20 else 2)`,
        join(mountpoint, 'disk.raw'),
      ),
    );
    await Promise.all(readers.map(firstOutput));
    const letters = new Map([
      [current.data, 'a'],
      [other.data, 'b'],
    ]);
    const before = driver.statistics().localReads;
    let swaps = 0;
    const isRunning = () => readers.every((reader) => reader.exitCode === null);
    const isEnough = () => {
      const { threads, localReads } = driver.statistics();
      return swaps >= 300 && threads === WORKERS && localReads - before >= 1000;
    };
    while (isRunning() && !isEnough()) {
      writeSync(other.data, Buffer.alloc(SIZE, letters.get(other.data)), 0, SIZE, 0);
      Atomics.store(control, CONTROL_GATE, 1);
      await driver.fence.passed();
      driver.planes.publish(planeOf(control, other));
      Atomics.store(control, CONTROL_GATE, 0);
      // No worker is in a request that began before: what it read from is ours now.
      writeSync(current.data, Buffer.alloc(SIZE, 'x'), 0, SIZE, 0);
      [current, other] = [other, current];
      swaps++;
      // The main thread answers while the gate is set.
      files.bytesOf('disk.raw').fill(letters.get(current.data)!);
      await stat(mountpoint);
    }
    expect(driver.statistics().threads).toBe(WORKERS);
    for (const reader of readers) reader.stdin?.end();
    expect(await Promise.all(readers.map(exitOf))).toEqual(Array(3).fill({ code: 0, signal: null }));
  });
});
