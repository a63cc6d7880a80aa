/** The dashboard over HTTP, on a real catalogue: what it answers, to whom, and what it leaves. */
import { expect, test } from '@jest/globals';
import { request as httpRequest } from 'node:http';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CHUNK_STATES } from '../../lib/image/picture-cells.js';
import { silentLog } from '../../lib/util/log.js';
import { MOST_STREAMS } from '../../mount/dashboard/handler.js';
import { EventParser, type ServerEvent } from '../../mount/dashboard/page/events.js';
import type { ActivityMessage, MapMessage, MountMessage } from '../../mount/dashboard/protocol.js';
import { ReadTimes } from '../../mount/dashboard/read-times.js';
import { serveDashboard, type Dashboard, type DashboardParts } from '../../mount/dashboard/serve.js';
import { throwIfFailed } from '../../mount/tree/command-runs.js';
import { Commands } from '../../mount/tree/commands.js';
import { Outcomes } from '../../mount/tree/outcomes.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { CHUNK, ImageWorld, shut } from '../helpers/image-world.js';
import { MemoryDatabase } from '../helpers/memory-database.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

const DRIVER = { localReads: 0, localReadBytes: 0, localWrites: 0, localWriteBytes: 0, forwarded: 0, waitingReads: 0 };

interface Served {
  readonly world: ImageWorld;
  readonly dashboard: Dashboard;
  readonly stateDirectory: string;
  readonly base: string;
  readonly token: string;
  ask(path: string, options?: RequestInit): Promise<Response>;
  post(action: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
}

/** A world with an image `disk`, written and committed once, and its dashboard. */
async function serve(changes: Partial<DashboardParts> = {}): Promise<Served> {
  const world = await ImageWorld.open(temporaryFolder('world'));
  undoLater(() => world.close());
  await (await world.catalogue.create('disk')).createHead();
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(2 * CHUNK, 'data'));
  await (await world.catalogue.find('disk'))!.commit({});
  shut(head);
  const outcomes = await Outcomes.open(new MemoryDatabase(), silentLog);
  const commands = new Commands({
    catalogue: world.catalogue,
    outcomes,
    readOnly: false,
    log: silentLog,
    now: Date.now,
  });
  const stateDirectory = changes.stateDirectory ?? temporaryFolder('state');
  const dashboard = await serveDashboard({
    address: { host: '127.0.0.1', port: 0 },
    takesOver: false,
    identity: { repository: 'file:///images', mountpoint: '/mnt', readOnly: false },
    catalogue: world.catalogue,
    mirror: world.mirror,
    driver: { statistics: () => ({ ...DRIVER, workers: 1, threads: 1 }) },
    activity: () => commands.history(),
    commands: {
      beginCommit: async (image, wish) => {
        const begun = await commands.beginCommit(image, wish);
        if ('ok' in begun) throwIfFailed(begun);
        return { id: begun.id, image, pauseMs: 0, outcome: null };
      },
      clone: () => Promise.reject(new Error('not asked for here')),
      revert: async (image) => throwIfFailed(await commands.revert(image)),
      hydrate: () => new Promise(() => undefined),
    },
    readTimes: new ReadTimes(),
    log: silentLog,
    pageFolder: 'mount/dashboard/page',
    ...changes,
    stateDirectory,
  });
  undoLater(() => dashboard.close());
  const [base = '', token = ''] = (dashboard.url ?? '').split('/#token=');
  const ask = (path: string, options: RequestInit = {}): Promise<Response> =>
    fetch(base + path, {
      ...options,
      headers: { authorization: `Bearer ${token}`, ...(options.headers as Record<string, string> | undefined) },
    });
  return {
    ...{ world, dashboard, stateDirectory, base, token, ask },
    post: (action, body, headers = {}) =>
      ask(`/api/${action}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
  };
}

/** Reads events until one is found. */
async function untilEvent<T>(response: Response, find: (event: ServerEvent) => T | undefined): Promise<T> {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    for (const event of parser.push(decoder.decode(bytes, { stream: true }))) {
      const found = find(event);
      if (found !== undefined) return found;
    }
  }
  throw new Error('the stream ended before the event came');
}

test('the page is for everybody and tells nothing; nothing else of it is let in or out', async () => {
  const { base, token } = await serve();
  const page = await fetch(`${base}/`);
  expect(page.status).toBe(200);
  expect(page.headers.get('content-security-policy')).toContain(
    "default-src 'none'; script-src 'self'; style-src 'self'",
  );
  expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
  expect(page.headers.get('referrer-policy')).toBe('no-referrer');
  const text = await page.text();
  expect(text).not.toContain(token);
  expect(text).not.toMatch(/(src|href)="(https?:)?\/\//);
  expect(text).not.toMatch(/<script(?![^>]* src=)|<style|style=|onclick=/);
  expect((await fetch(`${base}/style.css`)).headers.get('content-type')).toBe('text/css; charset=utf-8');
  expect((await fetch(`${base}/../package.json`)).status).toBe(404);
  expect((await fetch(`${base}/serve.ts`)).status).toBe(404);
  expect((await fetch(`${base}/`, { method: 'POST' })).status).toBe(404);
});

// S101
test('without the token nothing is told or done, and the answer says where it is', async () => {
  const { base } = await serve();
  for (const path of ['/api/events', '/api/first-reads?image=disk', '/api/nothing']) {
    const response = await fetch(base + path);
    expect(response.status).toBe(401);
    expect(await response.text()).toContain('lazydisk dashboard MOUNTPOINT');
  }
});

test('a name that was made to lead here is refused before anything else', async () => {
  const { base, token } = await serve();
  const { port } = new URL(base);
  const status = await new Promise((resolve, reject) => {
    const headers = { host: `rebound.example:${port}`, authorization: `Bearer ${token}` };
    httpRequest({ port, host: '127.0.0.1', path: '/api/first-reads?image=disk', headers }, ({ statusCode }) =>
      resolve(statusCode),
    )
      .on('error', reject)
      .end();
  });
  expect(status).toBe(403);
});

test('a stream tells the mount, what commands did, and the picture', async () => {
  const { world, ask, post } = await serve();
  const head = await world.openHead('disk');
  await head.write(CHUNK, Buffer.alloc(4096, 1));
  expect(await (await post('commit', { image: 'disk', label: 'by hand' })).json()).toEqual({ state: 'done' });
  await waitFor('the commit has ended', () => head.isDirty() === false);
  const seen = new Set<string>();
  const map = await untilEvent(await ask('/api/events?image=disk'), ({ name, data }) => {
    seen.add(name);
    if (name === 'mount') expect((data as MountMessage).images.map(({ image }) => image)).toEqual(['disk']);
    if (name === 'activity') expect((data as ActivityMessage).outcomes.at(-1)?.command).toContain('by hand');
    return name === 'map' ? (data as MapMessage) : undefined;
  });
  expect([...seen]).toEqual(['mount', 'activity', 'map']);
  const cells = [...Buffer.from(map.cells, 'base64')].map((cell) => CHUNK_STATES[cell & 7]);
  expect(cells).toEqual(['local', 'local']);
  shut(head);
});

test('a picture that changes is told as a change', async () => {
  const { world, ask } = await serve();
  const stream = await ask('/api/events?image=disk');
  let head: Awaited<ReturnType<ImageWorld['openHead']>> | undefined;
  const counts = await untilEvent(stream, ({ name, data }) => {
    if (name === 'map') {
      void world.openHead('disk').then(async (opened) => {
        head = opened;
        await opened.write(0, Buffer.alloc(4096, 2));
      });
    }
    const { counts: told } = data as MapMessage;
    return name === 'change' && told.dirty === 1 ? told : undefined;
  });
  expect(counts).toMatchObject({ dirty: 1, local: 1 });
  shut(head!);
});

test('an image that does not exist is told in words', async () => {
  const { ask } = await serve();
  const reason = await untilEvent(await ask('/api/events?image=other'), ({ name, data }) =>
    name === 'nothing' ? (data as { reason: string }).reason : undefined,
  );
  expect(reason).toBe('There is no image other.');
});

test('a command that fails at once is answered with its error, one that takes long is not waited for', async () => {
  const { post, world } = await serve();
  const head = await world.openHead('disk');
  const busy = await post('revert', { image: 'disk' });
  expect(busy.status).toBe(409);
  expect(((await busy.json()) as { error: { code: string } }).error.code).toBe('BUSY');
  shut(head);
  expect(await (await post('hydrate', { image: 'disk' })).json()).toEqual({ state: 'running' });
});

test('bodies are checked, and only four verbs are to be had', async () => {
  const { post } = await serve();
  const wrong = await post('commit', { image: 'disk', force: true });
  expect(wrong.status).toBe(400);
  expect((await post('clone', { image: 'disk' })).status).toBe(400);
  for (const verb of ['unmount', 'restart', 'unlock', 'drop-flat']) expect((await post(verb, {})).status).toBe(404);
});

test('so many pages may be open, and one more when one is closed', async () => {
  const { ask } = await serve();
  const open = await Promise.all(Array.from({ length: MOST_STREAMS }, () => ask('/api/events')));
  expect(open.map(({ status }) => status)).toEqual(Array(MOST_STREAMS).fill(200));
  expect((await ask('/api/events')).status).toBe(409);
  await open[0]!.body!.cancel();
  await waitFor('there is room again', async () => {
    const again = await ask('/api/events');
    await again.body!.cancel();
    return again.status === 200;
  });
});

test('the address is kept for its owner alone, and gone with the mount', async () => {
  const { dashboard, stateDirectory, token } = await serve();
  const file = join(stateDirectory, 'dashboard.json');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ token });
  await dashboard.close();
  expect(await readdir(stateDirectory)).toEqual([]);
});

test('who takes over goes on with port and token; a new mount has a new token', async () => {
  const first = await serve();
  const kept = await readFile(join(first.stateDirectory, 'dashboard.json'), 'utf8');
  await first.dashboard.close();
  const stateDirectory = temporaryFolder('state-again');
  await writeFile(join(stateDirectory, 'dashboard.json'), kept);
  const next = await serve({ stateDirectory, takesOver: true });
  expect(next.dashboard.url).toBe(first.dashboard.url);
  await next.dashboard.close();
  await writeFile(join(stateDirectory, 'dashboard.json'), kept);
  expect((await serve({ stateDirectory })).token).not.toBe(first.token);
});

test('a port that is taken ends a mount at its start, but never a take-over', async () => {
  const first = await serve();
  const address = { host: '127.0.0.1', port: Number(new URL(first.base).port) };
  await expect(serve({ address })).rejects.toMatchObject({ code: 'BUSY' });
  const errors: string[] = [];
  const log = { ...silentLog, error: (message: string) => errors.push(message) };
  expect((await serve({ address, takesOver: true, log })).dashboard.url).toBeNull();
  expect(errors).toEqual(['The dashboard could not be taken over: the mount goes on without it.']);
});
