import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HeadUsage } from '../../lib/image/api.js';
import { silentLog } from '../../lib/util/log.js';
import { MOST_IMAGES, shownImages, type MetricSources } from '../../mount/metrics/facts.js';
import { Metrics } from '../../mount/metrics/metrics.js';
import { serveMetrics } from '../../mount/metrics/serve.js';
import { HttpListener } from '../../mount/service/listening.js';
import type { HeldImage } from '../../mount/tree/held-images.js';
import { FakeCatalogue } from '../helpers/fake-catalogue.js';
import { driverStatistics, mirrorStatistics } from '../helpers/tree-fixture.js';

let folder: string;
let catalogue: FakeCatalogue;
let sources: MetricSources;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-metrics-'));
  catalogue = new FakeCatalogue();
  sources = {
    version: '1.2.3',
    repository: 's3://images/prod',
    mountpoint: '/mnt',
    driver: 'kernel',
    startedMs: 1_700_000_000_500,
    catalogue,
    mirror: () => mirrorStatistics,
    driverStatistics: () => driverStatistics,
    longestReadMs: () => 12_500,
    store: () => ({ requests: 0, errors: 0, lastError: null, lastAnswerMs: 1_700_000_001_250 }),
    runningCommands: () => 2,
    stateDirectory: folder,
    cacheDirectory: folder,
  };
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** The samples of a text: the series as it is written, and its value. */
async function scrape(metrics: Metrics): Promise<Map<string, string>> {
  const lines = (await metrics.text(sources)).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), line.slice(line.lastIndexOf(' ') + 1)]));
}

async function dirtyImage(name: string, bytes: string): Promise<void> {
  const head = await catalogue.image(name).createHead();
  await head.openForWriting();
  head.opened();
  await head.write(0, Buffer.from(bytes));
}

describe('a scrape', () => {
  test('tells what is mounted, and what its parts have counted', async () => {
    const samples = await scrape(new Metrics());
    const info = 'lazydisk_info{version="1.2.3",repository="s3://images/prod",mountpoint="/mnt",driver="kernel"}';
    expect(Object.fromEntries(samples)).toMatchObject({
      [info]: '1',
      lazydisk_start_time_seconds: '1700000000.5',
      'lazydisk_health{state="ok"}': '1',
      'lazydisk_health{state="offline"}': '0',
      lazydisk_store_last_answer_timestamp_seconds: '1700000001.25',
      lazydisk_local_reads_total: '100',
      lazydisk_local_read_bytes_total: '4096',
      lazydisk_waiting_reads: '8',
      lazydisk_longest_waiting_read_seconds: '12.5',
      'lazydisk_fetched_bytes_total{priority="demand"}': '300',
      'lazydisk_fetched_bytes_total{priority="fill"}': '40',
      lazydisk_cache_bytes: '1000',
      lazydisk_cache_limit_bytes: '+Inf',
      lazydisk_running_commands: '2',
      lazydisk_held_images: '0',
    });
    expect(Number(samples.get('lazydisk_filesystem_free_bytes{directory="state"}'))).toBeGreaterThan(0);
    expect(Number(samples.get('process_open_fds'))).toBeGreaterThan(3);
  });

  // S100
  test('tells of each image whose head is here, and asks the store nothing', async () => {
    await dirtyImage('vm', 'dirty');
    catalogue.image('elsewhere').publish(Buffer.from('boot'));
    const { finds } = catalogue.counts;
    catalogue.names = () => Promise.reject(new Error('the store was asked'));
    const samples = await scrape(new Metrics());
    expect(Object.fromEntries(samples)).toMatchObject({
      lazydisk_held_images: '1',
      'lazydisk_image_dirty_bytes{image="vm"}': '5',
      'lazydisk_image_open{image="vm"}': '1',
      'lazydisk_image_failed{image="vm"}': '0',
    });
    expect([...samples.keys()].filter((series) => series.includes('elsewhere'))).toEqual([]);
    expect(catalogue.counts.finds).toBe(finds);
  });

  test('what is over leaves no series, and a counter is not added up', async () => {
    const metrics = new Metrics();
    await dirtyImage('vm', 'dirty');
    const first = await scrape(metrics);
    expect(first.has('lazydisk_image_oldest_uncommitted_timestamp_seconds{image="vm"}')).toBe(true);
    catalogue.image('vm').currentHead!.dirty = false;
    const second = await scrape(metrics);
    expect(second.has('lazydisk_image_oldest_uncommitted_timestamp_seconds{image="vm"}')).toBe(false);
    expect(second.get('lazydisk_local_reads_total')).toBe('100');
    catalogue.images.clear();
    expect([...(await scrape(metrics)).keys()].filter((series) => series.includes('image="vm"'))).toEqual([]);
  });

  test('of more images than are shown, those in trouble, open or dirty come first', () => {
    const clean: HeadUsage = {
      sizeBytes: 1,
      localBytes: 0,
      missingBytes: 0,
      dirtyBytes: 0,
      layerAllocatedBytes: 0,
      layers: 0,
      oldestUncommittedMs: null,
      openCount: 0,
      committing: false,
      failure: null,
    };
    const all: HeldImage[] = Array.from({ length: MOST_IMAGES + 3 }, (_, at) => ({
      image: `vm-${String(at).padStart(4, '0')}`,
      ...clean,
    }));
    const last = all.length - 1;
    all[last] = { image: 'failed', ...clean, failure: 'the disk' };
    all[last - 1] = { image: 'open', ...clean, openCount: 1 };
    all[last - 2] = { image: 'dirty', ...clean, dirtyBytes: 1 };
    const shown = shownImages(all).map(({ image }) => image);
    expect(shown.length).toBe(MOST_IMAGES);
    expect(shown.slice(-3)).toEqual(['dirty', 'open', 'failed']);
    expect(shown[0]).toBe('vm-0000');
    expect(shownImages(all.slice(0, 5))).toEqual(all.slice(0, 5));
  });

  test('scrapes at the same time share one', async () => {
    const metrics = new Metrics();
    let asked = 0;
    const counted = { ...sources, runningCommands: () => ++asked };
    const texts = await Promise.all([metrics.text(counted), metrics.text(counted), metrics.text(counted)]);
    expect(new Set(texts).size).toBe(1);
    expect(asked).toBe(1);
  });
});

describe('events', () => {
  const call = { operation: 'get', failure: null, durationMs: 3, receivedBytes: 100, sentBytes: 0 } as const;

  test('requests to the store are counted by operation, failures by code, and the time of those that were answered', async () => {
    const metrics = new Metrics();
    metrics.events.storeCall(call);
    metrics.events.storeCall({ ...call, failure: 'UNREACHABLE', receivedBytes: 0 });
    metrics.events.storeCall({ ...call, failure: 'ABORTED', receivedBytes: 0 });
    metrics.events.storeCall({ ...call, operation: 'put', receivedBytes: 0, sentBytes: 7 });
    expect(Object.fromEntries(await scrape(metrics))).toMatchObject({
      'lazydisk_store_requests_total{operation="get"}': '3',
      'lazydisk_store_requests_total{operation="put"}': '1',
      'lazydisk_store_requests_total{operation="list"}': '0',
      'lazydisk_store_errors_total{operation="get",code="UNREACHABLE"}': '1',
      'lazydisk_store_errors_total{operation="put",code="REFUSED"}': '0',
      'lazydisk_store_request_seconds_count{operation="get"}': '1',
      'lazydisk_store_request_seconds_bucket{le="0.002",operation="get"}': '0',
      'lazydisk_store_request_seconds_bucket{le="0.005",operation="get"}': '1',
      lazydisk_store_received_bytes_total: '100',
      lazydisk_store_sent_bytes_total: '7',
    });
  });

  test('reads that waited are told in seconds', async () => {
    const metrics = new Metrics();
    metrics.events.read(400);
    metrics.events.read(0.1);
    expect(Object.fromEntries(await scrape(metrics))).toMatchObject({
      lazydisk_read_wait_seconds_sum: '0.4001',
      'lazydisk_read_wait_seconds_bucket{le="0.2"}': '1',
      'lazydisk_read_wait_seconds_bucket{le="0.5"}': '2',
    });
  });

  const command = { id: '1', image: 'vm', startedAt: '', finishedAt: '' };
  const committed = { image: 'vm', number: 2, commitId: 'c', dirtyBytes: 9, uploadedBytes: 8, pauseMs: 1 };

  test('commands are counted by verb and outcome; the commits that made a snapshot are measured', async () => {
    const metrics = new Metrics();
    const result = { ...committed, changed: true, durationMs: 250 };
    metrics.events.command({ ...command, command: 'commit vm', ok: true, result });
    metrics.events.command({ ...command, command: 'commit vm', ok: true, result: { ...result, changed: false } });
    const error = { code: 'CONFLICT', message: 'late' } as const;
    metrics.events.command({ ...command, command: 'commit vm', ok: false, error });
    expect(Object.fromEntries(await scrape(metrics))).toMatchObject({
      'lazydisk_commands_total{verb="commit",result="ok"}': '2',
      'lazydisk_commands_total{verb="commit",result="CONFLICT"}': '1',
      'lazydisk_commands_total{verb="commit",result="UNREACHABLE"}': '0',
      lazydisk_commit_seconds_count: '1',
      lazydisk_commit_seconds_sum: '0.25',
      lazydisk_commit_uploaded_bytes_total: '8',
    });
  });

  test('a line that is no command makes no series of its own', async () => {
    const metrics = new Metrics();
    const error = { code: 'USAGE', message: 'no' } as const;
    for (const line of ['rm -rf', 'constructor', '']) {
      metrics.events.command({ ...command, command: line, ok: false, error });
    }
    const samples = await scrape(metrics);
    const series = [...samples].filter(([name]) => name.includes('USAGE'));
    expect(series).toEqual([['lazydisk_commands_total{verb="unknown",result="USAGE"}', '3']]);
  });
});

describe('over HTTP', () => {
  const address = { host: '127.0.0.1', port: 0 };

  test('metrics are at /metrics, and only to be read', async () => {
    const listener = await HttpListener.listen({
      address,
      option: '--metrics',
      handler: new Metrics().handler(sources),
      log: silentLog,
    });
    try {
      const page = await ask(`${listener.url}/metrics`);
      expect([page.status, page.type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
      expect(page.body).toContain('\nlazydisk_local_reads_total 100\n');
      expect(await ask(`${listener.url}/`)).toMatchObject({ status: 404, body: 'Metrics are at /metrics.\n' });
      expect((await ask(`${listener.url}/metrics`, 'POST')).status).toBe(405);
    } finally {
      await listener.close();
    }
  });

  test('a port that is taken fails a mount, but not a daemon that takes one over', async () => {
    const lines: string[] = [];
    const log = { ...silentLog, error: (message: string) => void lines.push(message) };
    const served = { address, metrics: new Metrics(), sources, takesOver: false, log };
    const first = (await serveMetrics(served)) as HttpListener;
    try {
      const taken = { ...served, address: first.address };
      await expect(serveMetrics(taken)).rejects.toMatchObject({ code: 'BUSY' });
      await (await serveMetrics({ ...taken, takesOver: true })).close();
      expect(lines).toEqual(['Metrics are not served by this daemon.']);
    } finally {
      await first.close();
    }
  });
});

test('docs/METRICS.md tells of every metric', async () => {
  const rows = (await new Metrics().text(sources))
    .split('\n')
    .filter((line) => line.startsWith('# '))
    .map((line) => line.split(' '));
  const kinds = new Map(rows.filter((row) => row[1] === 'TYPE').map(([, , name, kind]) => [name, kind]));
  const expected = rows
    .filter((row) => row[1] === 'HELP')
    .map(([, , name, ...help]) => `| \`${name!}\` | ${kinds.get(name)!} | ${help.join(' ')} |`);
  const page = readFileSync('docs/METRICS.md', 'utf8').split('\n');
  const told = page.filter((line) => line.startsWith('| `')).map((line) => line.replaceAll(/ +/g, ' '));
  expect(told).toEqual(expected);
});

function ask(url: string, method = 'GET'): Promise<{ status?: number; type?: string; body: string }> {
  return new Promise((resolve, reject) => {
    get(url, { method, agent: false }, (response) => {
      let body = '';
      response.on('data', (part: Buffer) => (body += part.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode!, type: response.headers['content-type']!, body });
      });
    }).on('error', reject);
  });
}
