/**
 * A worker of the thread test: serves reads and writes on a plane by the rule of lib/image/plane.ts, as the FUSE worker does,
 * and checks its own blocks. Runs on the built dist.
 *
 * Worker w of n owns the blocks b with b % n == w. It writes a block with a growing sequence number in every 8 bytes, and
 * reads it back: what it sees must be what it wrote last. What it can't serve itself it hands to the main thread and waits.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { CONTROL_GATE } from '../../dist/lib/image/plane.js';
import { MISS, serveRead, serveWrite } from '../../dist/lib/image/serve.js';
import { PlaneTable } from '../../dist/mount/fuse/plane-table.js';

const { index, workers, blocks, rounds, words, wordIndex, generation, port, bell, key, seed } = workerData;
const planes = new PlaneTable(port, generation);
const block = Buffer.alloc(4096);
const out = Buffer.alloc(4096);
const last = new Map();
const counts = { reads: 0, writes: 0, forwarded: 0, wrong: [] };
const held = new Int32Array(new SharedArrayBuffer(4));
let word = 0;
let state = seed >>> 0 || 1;

function random(limit) {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % limit;
}

function busily(serve) {
  Atomics.store(words, wordIndex, ++word);
  const plane = currentPlane();
  // A thread may be held up at any point: here, with an old plane in hand, is where only the fence protects.
  if (random(300) === 0) Atomics.wait(held, 0, 0, 1 + random(15));
  const served = plane === undefined ? MISS : serve(plane);
  Atomics.store(words, wordIndex, ++word);
  return served;
}

/** As the FUSE worker does: the gate is seen open, and after that no newer plane is there. */
function currentPlane() {
  while (planes.refresh()) {
    const plane = planes.find(key);
    if (plane === undefined || Atomics.load(plane.control, CONTROL_GATE) !== 0) return undefined;
    if (planes.isCurrent()) return plane;
  }
  return undefined;
}

/** Hands a request over and sleeps until it is answered. */
function forward(request) {
  counts.forwarded++;
  Atomics.store(bell, 0, 0);
  parentPort.postMessage(request);
  // A notify of the answer before may wake us too early.
  while (Atomics.load(bell, 0) === 0) Atomics.wait(bell, 0, 0);
  return receiveMessageOnPort(workerData.answers).message;
}

for (let round = 1; round <= rounds && counts.wrong.length === 0; round++) {
  const number = random(Math.floor(blocks / workers)) * workers + index;
  const offset = number * 4096;
  if (random(2) === 0) {
    const value = BigInt(round) * 1000n + BigInt(index);
    for (let at = 0; at < 4096; at += 8) block.writeBigUInt64LE(value, at);
    // Now and then a part of a block, which has to be composed with what is there.
    const part = random(8) === 0 && last.has(number);
    const from = part ? 512 * random(8) : 0;
    const to = part ? from + 512 : 4096;
    const served = busily((plane) => serveWrite(plane, block, from, offset + from, to - from));
    if (served === MISS) forward({ kind: 'write', offset: offset + from, bytes: block.subarray(from, to) });
    const before = last.get(number) ?? [];
    last.set(
      number,
      Array.from({ length: 8 }, (_, sector) => (sector * 512 >= from && sector * 512 < to ? value : before[sector])),
    );
    counts.writes++;
  } else if (last.has(number)) {
    let got = out;
    if (busily((plane) => serveRead(plane, offset, 4096, out, 0)) === MISS) {
      got = Buffer.from(forward({ kind: 'read', offset, length: 4096 }));
    }
    const wanted = last.get(number);
    for (let at = 0; at < 4096; at += 8) {
      const value = got.readBigUInt64LE(at);
      if (value === wanted[Math.floor(at / 512)]) continue;
      counts.wrong.push(
        `block ${number} at ${at}: ${value} instead of ${wanted[Math.floor(at / 512)]}, round ${round}`,
      );
      break;
    }
    counts.reads++;
  }
}
parentPort.postMessage({ kind: 'done', counts });
