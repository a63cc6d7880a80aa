// A process that fills and evicts a mirror until it is killed. Arguments: compiled library, mirror folder, chunks, seed. One
// line on stdout for each step that has ended.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { writeSync } from 'node:fs';

const [library, directory, chunkCount, seed] = process.argv.slice(2);
const { openMirror } = await import(join(library, 'lib/mirror/mirror.js'));
const { noWorkers } = await import(join(library, 'lib/mirror/worker-fence.js'));
const CHUNK = 64 * 1024;

/** The same bytes as bytesOf in fake-source.ts. */
function bytesOf(tag) {
  const bytes = Buffer.alloc(CHUNK);
  for (let at = 0; at < CHUNK; at += 4) bytes.writeUInt32LE((tag * 2654435761 + at) % 2 ** 32, at);
  return bytes;
}

const chunks = Array.from({ length: Number(chunkCount) }, (_, n) => {
  const bytes = bytesOf(n + 1);
  const id = createHash('sha256').update(bytes).digest('hex');
  return { bytes, reference: { id, segment: 's', offsetBytes: n * CHUNK, storedBytes: CHUNK, codec: 'none' } };
});
const segment = Buffer.concat(chunks.map(({ bytes }) => bytes));
const source = {
  read: async ({ offsetBytes, lengthBytes }) => segment.subarray(offsetBytes, offsetBytes + lengthBytes),
};
const log = { info() {}, warn() {}, error() {} };
const mirror = await openMirror({ directory, quotaBytes: 24 * CHUNK, bootId: 'boot', source, fence: noWorkers, log });
const map = mirror.createMap(CHUNK, chunks.length);

let random = Number(seed);
const below = (limit) => {
  random = (Math.imul(random, 1103515245) + 12345) >>> 0;
  return (random >>> 8) % limit;
};
async function steps() {
  for (;;) {
    const first = below(chunks.length);
    const some = chunks.slice(first, first + 1 + below(8)).map(({ reference }, n) => ({ chunk: first + n, reference }));
    if (below(4) === 0) await mirror.insert(chunks[first].reference.id, chunks[first].bytes);
    else (await mirror.ensure(map, some, 'demand')).release();
    if (below(8) === 0) await mirror.giveWay(below(6) * CHUNK);
    writeSync(1, '.');
  }
}
await Promise.all([steps(), steps(), steps(), steps()]);
