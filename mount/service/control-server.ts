/**
 * The control API: HTTP with JSON on a unix socket (mode 0600) in the state directory.
 *
 *   GET  /status                  the whole mount
 *   GET  /glance                  the same without asking the store
 *   GET  /images/NAME/status      one image
 *   GET  /images/NAME/tags/TAG     the number that a tag leads to
 *   GET  /commands/ID             a command, running or ended
 *   POST /commit /begin-commit /clone /revert /unlock /hydrate /record-profile /unmount /restart    bodies as in control-protocol.ts
 *
 * A request stays open for as long as its work takes (a commit may take hours); a client that goes away does not cancel it.
 * Only who may open the socket may ask: the file's mode is the whole of the access control.
 */
import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { httpStatusOf, REQUESTS, toWire, type ControlCommands, type RequestName } from './control-protocol.js';
import { checkedBody, readJsonBody } from './request-body.js';
import { withSocketPath } from './socket-path.js';

export class ControlServer {
  private constructor(
    readonly path: string,
    private readonly server: Server,
    private readonly running: ReadonlySet<Promise<void>>,
  ) {}

  /** Listens. A socket that a dead daemon left is replaced: the caller holds the lock of the state directory. */
  static async listen(path: string, commands: ControlCommands, log: Log): Promise<ControlServer> {
    await rm(path, { force: true });
    const running = new Set<Promise<void>>();
    const server = createServer((request, response) => {
      const work = answer(request, response, commands, log).finally(() => running.delete(work));
      running.add(work);
    });
    server.requestTimeout = 30_000; // for the request to arrive; its work may take any time
    server.keepAliveTimeout = 1;
    await withSocketPath(path, (address) => bind(server, address, path));
    await chmod(path, 0o600);
    return new ControlServer(path, server, running);
  }

  /** Takes no more requests, waits for those that run (for at most `graceMs`), removes the socket. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.server.close(() => {
        resolve();
      });
    });
    this.server.closeIdleConnections();
    const over = new AbortController();
    await Promise.race([Promise.all(this.running), delay(graceMs, undefined, { signal: over.signal, ref: false })]);
    over.abort();
    this.server.closeAllConnections();
    await closed;
    await rm(this.path, { force: true });
  }
}

function bind(server: Server, address: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new LazydiskError('IO', `The control socket ${path} can't be made: ${messageOf(error)}.`, { cause: error }),
      );
    });
    // Until chmod narrows it, the folder (0700) keeps others out.
    server.listen({ path: address }, resolve);
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  commands: ControlCommands,
  log: Log,
): Promise<void> {
  response.on('error', () => undefined); // the client went away: its work is done all the same
  try {
    await send(response, 200, await perform(request, commands));
  } catch (error) {
    if (!(error instanceof LazydiskError)) log.error('A control request failed.', { url: request.url, error });
    await send(response, httpStatusOf(error), { error: toWire(error) });
  }
}

async function perform(request: IncomingMessage, commands: ControlCommands): Promise<unknown> {
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  if (request.method === 'GET') {
    if (path === '/status') return await commands.status();
    if (path === '/glance') return await commands.glance();
    const image = /^\/images\/([^/]+)\/status$/.exec(path)?.[1];
    if (image !== undefined) return await commands.imageStatus(decoded(image));
    const [, owner, tag] = /^\/images\/([^/]+)\/tags\/([^/]+)$/.exec(path) ?? [];
    if (owner !== undefined && tag !== undefined) return await commands.tagged(decoded(owner), decoded(tag));
    const id = /^\/commands\/([^/]+)$/.exec(path)?.[1];
    if (id !== undefined) return await commands.command(decoded(id));
  }
  if (request.method === 'POST') {
    const name = path.slice(1);
    if (isRequestName(name)) return (await post(name, await readJsonBody(request), commands)) ?? {};
  }
  throw new LazydiskError('USAGE', `The control API has no ${request.method ?? '?'} ${path}.`);
}

async function post(name: RequestName, body: unknown, commands: ControlCommands): Promise<unknown> {
  switch (name) {
    case 'commit': {
      const { image, ...wish } = checkedBody(name, body);
      return await commands.commit(image, wish);
    }
    case 'begin-commit': {
      const { image, ...wish } = checkedBody(name, body);
      return await commands.beginCommit(image, wish);
    }
    case 'clone': {
      const { image, newImage, ...options } = checkedBody(name, body);
      return await commands.clone(image, newImage, options);
    }
    case 'revert': {
      const { image, number } = checkedBody(name, body);
      return await commands.revert(image, number);
    }
    case 'unlock':
      return await commands.unlock(checkedBody(name, body).image);
    case 'keep-flat': {
      const { image, number } = checkedBody(name, body);
      return await commands.keepFlat(image, number);
    }
    case 'drop-flat': {
      const { image, number } = checkedBody(name, body);
      return await commands.dropFlat(image, number);
    }
    case 'hydrate': {
      const { image, number } = checkedBody(name, body);
      return await commands.hydrate(image, number);
    }
    case 'record-profile':
      return await commands.recordProfile(checkedBody(name, body).image);
    case 'unmount':
      checkedBody(name, body);
      return await commands.unmount();
    case 'restart':
      return await commands.restart(checkedBody(name, body).program);
  }
}

/** Resolves when the answer has left, or the client has. */
async function send(response: ServerResponse, status: number, value: unknown): Promise<void> {
  if (response.destroyed) return;
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    response.end(body, resolve);
  });
}

function isRequestName(name: string): name is RequestName {
  return Object.hasOwn(REQUESTS, name);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
