/**
 * An HTTP server with ranges for the files of one folder: what the neighbours that read plain HTTP stand on. A program of its
 * own, cheap: each piece is one read of the page cache and one write to the socket.
 *
 *   range-server.js FOLDER       says its port in a line
 */
import { createReadStream, statSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitUntil, type Workspace } from './workspace.js';

const PROGRAM = fileURLToPath(import.meta.url);
const PIECE_BYTES = 256 * 1024;

/** Starts one for the folder; resolves to `http://127.0.0.1:port`. */
export async function startRangeServer(workspace: Workspace, folder: string): Promise<string> {
  const program = workspace.startProgram(process.execPath, [PROGRAM, folder]);
  await waitUntil('the HTTP server listens', () => program.output().includes('\n'), { whileAlive: program });
  return `http://127.0.0.1:${program.output().trim()}`;
}

/** What a Range header asks of a file, or undefined for all of it. The end is inclusive. */
export function parseRange(header: string | undefined, sizeBytes: number): { start: number; end: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '') return { start: Math.max(0, sizeBytes - Number(last)), end: sizeBytes - 1 };
  return { start: Number(first), end: last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1) };
}

function answer(folder: string, request: http.IncomingMessage, response: http.ServerResponse): void {
  const path = join(folder, basename(request.url ?? ''));
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() !== true) {
    response.writeHead(404).end();
    return;
  }
  const range = parseRange(request.headers.range, stat.size);
  const { start, end } = range ?? { start: 0, end: stat.size - 1 };
  response.writeHead(range === undefined ? 200 : 206, {
    'accept-ranges': 'bytes',
    'content-length': end - start + 1,
    'last-modified': stat.mtime.toUTCString(),
    etag: `"${String(stat.size)}-${String(stat.mtimeMs)}"`,
    ...(range === undefined ? {} : { 'content-range': `bytes ${String(start)}-${String(end)}/${String(stat.size)}` }),
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  const body = createReadStream(path, { start, end, highWaterMark: PIECE_BYTES });
  response.on('close', () => body.destroy());
  body.pipe(response);
}

if (process.argv[1] === PROGRAM) {
  const folder = process.argv[2] ?? '.';
  const server = http.createServer({ noDelay: true, keepAliveTimeout: 600_000 }, (request, response) => {
    answer(folder, request, response);
  });
  server.listen(0, '127.0.0.1', () => {
    process.stdout.write(`${String((server.address() as AddressInfo).port)}\n`);
  });
}
