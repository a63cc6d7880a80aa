/**
 * The thread of a worker: puts the loop onto the device, the planes and the functions that serve them. The design is told
 * in worker-loop.ts.
 */
import { readSync, writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { MISS, serveRead, serveWrite } from '../../lib/image/serve.js';
import { PlaneTable } from './plane-table.js';
import { serveRequests } from './worker-loop.js';
import type { WorkerMessage, WorkerStart } from './worker-messages.js';

const { device, refusesResent, port, wordIndex, words, generation, counters } = workerData as WorkerStart;
const planes = new PlaneTable(port, generation);
const tell = (message: WorkerMessage) => {
  port.postMessage(message);
};

tell({ kind: 'ready' });
serveRequests({
  receive: (buffer) => readSync(device, buffer, 0, buffer.length, null),
  reply: (buffer, lengthBytes) => {
    writeSync(device, buffer, 0, lengthBytes);
  },
  refresh: () => planes.refresh(),
  isCurrent: () => planes.isCurrent(),
  find: (node) => planes.find(node),
  serveRead,
  serveWrite,
  miss: MISS,
  refusesResent,
  forward: (bytes) => {
    port.postMessage({ kind: 'request', bytes } satisfies WorkerMessage, [bytes.buffer]);
  },
  trouble: (message) => {
    tell({ kind: 'trouble', message });
  },
  words,
  wordIndex,
  counters,
});
port.close();
