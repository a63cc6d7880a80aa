/** An HTTP server that answers as a test says: for what a real S3 server does only on a bad day. */
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => void;

export interface ScriptedServer {
  readonly url: string;
  /** How every request is answered from now on. The request's body has been read by then. */
  answer: Answer;
  /** Requests that came in. */
  readonly requests: http.IncomingMessage[];
  /** Resolves when the next request has been read. */
  nextRequest(): Promise<void>;
  close(): Promise<void>;
}

export async function startScriptedServer(): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  const waiting: (() => void)[] = [];
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      scripted.requests.push(request);
      for (const resolve of waiting.splice(0)) resolve();
      scripted.answer(request, response);
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const scripted: ScriptedServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answer: (_, response) => void response.writeHead(500).end(),
    requests: [],
    nextRequest: () => new Promise((resolve) => waiting.push(resolve)),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return scripted;
}

/** An error as S3 tells it. */
export function s3ErrorAnswer(status: number, code: string, message = 'what the server says'): Answer {
  return (_, response) => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`);
  };
}
