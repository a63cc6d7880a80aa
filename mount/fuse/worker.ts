/**
 * The thread of a worker: puts the loop onto the device, the planes and the functions that serve them. The design is told
 * in worker-loop.ts.
 */
import { readlinkSync, readSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { workerData } from 'node:worker_threads';
import { MISS, serveRead, serveWrite } from '../../lib/image/serve.js';
import { PlaneTable } from './plane-table.js';
import { serveRequests } from './worker-loop.js';
import { awaitDevice, NO_DEVICE, type WorkerMessage, type WorkerStart } from './worker-messages.js';

const start = workerData as WorkerStart;
const { port, words, wordIndex, counters, refusesResent } = start;
const device = awaitDevice(start.device);
if (device !== NO_DEVICE) serve(device);
port.close();

function serve(descriptor: number): void {
  const planes = new PlaneTable(port, start.generation);
  const tell = (message: WorkerMessage) => {
    port.postMessage(message);
  };
  tell({ kind: 'ready', threadId: Number(basename(readlinkSync('/proc/thread-self'))) });
  serveRequests({
    receive: (buffer) => readSync(descriptor, buffer, 0, buffer.length, null),
    reply: (buffer, lengthBytes) => {
      writeSync(descriptor, buffer, 0, lengthBytes);
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
}
