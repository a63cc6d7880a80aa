/** Answers what comes to the dashboard over HTTP (protocol.ts says what there is). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LazydiskError } from '../../lib/util/errors.js';
import type { HttpHandler } from '../service/listening.js';
import { httpStatusOf, toWire } from '../service/control-protocol.js';
import { readJsonBody } from '../service/request-body.js';
import { decideAccess } from './access.js';
import { act, isActionName, type ActionCommands } from './actions.js';
import { base64 } from './map-messages.js';
import { SECURITY_HEADERS, sendPageFile } from './page-files.js';
import { PageStream, type StreamSources } from './page-stream.js';
import { MOST_CELLS, type FirstReadsMessage } from './protocol.js';

export interface HandlerParts {
  readonly token: string;
  readonly sources: StreamSources;
  readonly commands: ActionCommands;
  /** Where the files of the page are. */
  readonly pageFolder: string;
}

/** Pages that may be open at once. */
export const MOST_STREAMS = 8;

export function dashboardHandler(parts: HandlerParts): HttpHandler {
  const streams = new Set<PageStream>();
  return async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://dashboard');
    if (!url.pathname.startsWith('/api/')) {
      const isAsked = request.method === 'GET' || request.method === 'HEAD';
      if (isAsked && (await sendPageFile(url.pathname, response, parts.pageFolder))) return;
      return fail(response, 404, new LazydiskError('NOT_FOUND', `The dashboard has no ${url.pathname}.`));
    }
    const access = decideAccess(request.method, request.headers, parts.token);
    if (access.kind === 'refused') return fail(response, access.status, access.error);
    try {
      await answer(request, response, url, parts, streams);
    } catch (error) {
      fail(response, httpStatusOf(error), error);
    }
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  { sources, commands }: HandlerParts,
  streams: Set<PageStream>,
): Promise<void> {
  const image = url.searchParams.get('image') ?? undefined;
  const name = url.pathname.slice('/api/'.length);
  if (request.method === 'POST' && isActionName(name)) {
    return send(response, 200, await act(name, await readJsonBody(request), commands));
  }
  if (request.method === 'GET' && name === 'first-reads') return send(response, 200, await firstReads(image, sources));
  if (request.method === 'GET' && name === 'events') {
    if (streams.size >= MOST_STREAMS) {
      throw new LazydiskError('BUSY', `${String(MOST_STREAMS)} pages of this mount are open: close one.`);
    }
    response.writeHead(200, { ...SECURITY_HEADERS, 'content-type': 'text/event-stream; charset=utf-8' });
    const stream = new PageStream(sources, response, image);
    streams.add(stream);
    return stream.run().finally(() => {
      streams.delete(stream);
      response.end();
    });
  }
  throw new LazydiskError('NOT_FOUND', `The dashboard has no ${request.method ?? '?'} ${url.pathname}.`);
}

async function firstReads(image: string | undefined, { views }: StreamSources): Promise<FirstReadsMessage> {
  const view = image === undefined ? undefined : await views.view(image);
  const reads = await view?.firstReads(MOST_CELLS);
  if (reads === undefined || reads === null) {
    throw new LazydiskError('NOT_FOUND', `There is no image ${image ?? ''}, or it has no disk.`);
  }
  const { touched, profile, ...grid } = reads;
  return {
    ...grid,
    touched: { ...touched, cells: base64(touched.cells) },
    profile: { ...profile, cells: base64(profile.cells) },
  };
}

function fail(response: ServerResponse, status: number, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { code, message } = toWire(error);
  send(response, status, { error: { code, message } });
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  response.writeHead(status, { ...SECURITY_HEADERS, ...headers });
  response.end(body);
}
