import { beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { testWith } from '../helpers/driver.js';
import { startFaultyProxy } from '../helpers/faulty-proxy.js';
import { freePorts } from '../helpers/free-ports.js';
import { commit, KIB, MIB, repositoryWithImage } from '../helpers/images.js';
import { mountRepository, type MountedTest } from '../helpers/mounts.js';
import { must, start } from '../helpers/processes.js';
import { lazydisk, lazydiskJson, mustLazydisk } from '../helpers/program.js';
import { describeS3, s3Endpoint, through } from '../helpers/repositories.js';
import { mountpointsUnder, temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

const ALERTS = 'examples/prometheus-alerts.yml';
const DASHBOARD = 'examples/grafana-dashboard.json';

describe('a mount as it is seen from outside', () => {
  cleanUpAfter('all');
  let mounted: MountedTest;
  let name: string;
  let url: string;
  let address: string;
  beforeAll(async () => {
    const [port] = await freePorts(1);
    address = `127.0.0.1:${String(port)}`;
    url = `http://${address}/metrics`;
    const made = await repositoryWithImage('file');
    name = made.name;
    mounted = await mountRepository({
      repository: made.repository,
      options: ['--metrics', address, '--slow-read', '1ms'],
    });
  });

  async function value(series: string): Promise<number> {
    const line = (await text()).split('\n').find((one) => one.startsWith(`${series} `));
    return line === undefined ? NaN : Number(line.slice(series.length + 1));
  }

  async function text(): Promise<string> {
    return (await fetch(url)).text();
  }

  test('--metrics counts what is read, fetched and committed', async () => {
    const before = await value('lazydisk_store_received_bytes_total');
    await readRange(mounted.path(name), 0, 4 * MIB);
    expect(await value('lazydisk_read_wait_seconds_count')).toBeGreaterThan(0);
    expect((await value('lazydisk_store_received_bytes_total')) - before).toBeGreaterThan(0);
    await writeFile(mounted.path(name), Buffer.alloc(64 * 1024, 7), { flag: 'r+' });
    expect(await value(`lazydisk_image_dirty_bytes{image="${name}"}`)).toBe(64 * 1024);
    await commit(mounted, name);
    expect(await value(`lazydisk_image_dirty_bytes{image="${name}"}`)).toBe(0);
    expect(await value('lazydisk_commands_total{verb="commit",result="ok"}')).toBe(1);
    expect(await value('lazydisk_commit_uploaded_bytes_total')).toBeGreaterThan(0);
  });

  test('reads that were slow are lines of the log', async () => {
    const lines = (await readFile(join(mounted.stateDirectory, 'daemon.log'), 'utf8')).split('\n');
    const slow = lines.find((line) => line.includes('A read was slow.'));
    expect(JSON.parse(slow ?? '{}')).toMatchObject({ level: 'warn', image: name, file: 'disk.raw' });
  });

  test('promtool finds nothing to say about them', async () => {
    const file = join(temporaryFolder('scrape'), 'metrics');
    await writeFile(file, await text());
    // Whatever it finds ends it with a status of its own.
    expect(await must('sh', ['-c', `promtool check metrics < ${file} 2>&1`])).toBe('');
  });

  test('the alerts are rules, fire on the trouble that they are for, and on nothing else', async () => {
    expect(await must('promtool', ['check', 'rules', ALERTS])).toContain('SUCCESS');
    const tested = await must('promtool', ['test', 'rules', 'tests/examples/prometheus-alerts.yml']);
    expect(tested).toContain('SUCCESS');
    const alerts = (await readFile(ALERTS, 'utf8')).match(/- alert: \w+/g) ?? [];
    const proven = await readFile('tests/examples/prometheus-alerts.yml', 'utf8');
    for (const alert of alerts) expect(proven).toContain(`alertname="${alert.slice('- alert: '.length)}"`);
    expect(alerts.length).toBeGreaterThan(5);
  });

  test('alerts and dashboard ask for metrics that there are, in queries that Prometheus understands', async () => {
    const names = new Set(Array.from((await text()).matchAll(/^# TYPE (\S+)/gm), ([, metric]) => metric!));
    const dashboard = JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard;
    const queries = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    queries.push(...dashboard.annotations.list.map(({ expr }) => expr));
    expect(queries.length).toBeGreaterThan(20);
    for (const asked of [...queries, await readFile(ALERTS, 'utf8')]) {
      for (const [metric] of asked.matchAll(/\b(lazydisk|process)_[a-z_]+/g)) {
        expect([...names]).toContain(metric.replace(/_(bucket|sum|count)$/, ''));
      }
    }
    const rules = queries.map((expr, at) => ({
      record: `query:${String(at)}`,
      expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*'),
    }));
    const file = join(temporaryFolder('queries'), 'rules.yml');
    // JSON is YAML.
    await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    expect(await must('promtool', ['check', 'rules', file])).toContain(`${String(rules.length)} rules found`);
  });

  test('panels of the dashboard have ids of their own and overlap nowhere', async () => {
    const { panels } = JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, at) => `${String(x + (at % w))}/${String(y + Math.floor(at / w))}`);
    });
    expect(new Set(taken).size).toBe(taken.length);
  });

  test('a port that is taken is one sentence, and nothing is left mounted', async () => {
    const folder = temporaryFolder('second');
    const mountpoint = join(folder, 'mnt');
    await mkdir(mountpoint);
    const { repository } = mounted;
    const words = ['mount', repository.url, mountpoint, '--state', join(folder, 'state'), '--metrics', address];
    expect(await lazydisk(words, { env: repository.env })).toMatchObject({
      status: 4,
      stderr: `lazydisk: --metrics ${address} is taken by another process: choose another port.\n`,
    });
    expect(await mountpointsUnder(folder)).toEqual([]);
  });

  test('status --watch draws in place until Ctrl-C, then leaves the last picture and the terminal as it was', async () => {
    // exec: Ctrl-C goes to a shell that waits as well, and not every shell survives it.
    const script = `stty cols 100 rows 24; exec ${process.execPath} dist/mount/cli/main.js status ${mounted.mountpoint} --watch`;
    const watching = start('script', ['-qefc', script, '/dev/null']);
    await waitFor('two pictures are drawn', () => watching.output().split('\u001b[H').length > 2);
    watching.write('\u0003');
    const { status, stdout } = await watching.ended;
    expect(status).toBe(0);
    const [, pictures, rest] = /\u001b\[\?1049h([^]*)\u001b\[\?1049l([^]*)$/.exec(stdout) ?? [];
    expect(pictures).toContain(` on ${mounted.mountpoint}: ok, up for `);
    expect(rest).toMatch(new RegExp(`^${name} .* [░█]{10} +\\d+ %`, 'm'));
    expect(rest).not.toContain('\u001b');
  });

  test('status --watch tells once where nobody watches', async () => {
    const once = await mustLazydisk(['status', mounted.mountpoint, '--watch']);
    expect(once).toMatch(/^mount: +\S+ on \//m);
    expect(once).not.toContain('\u001b');
    expect(await lazydiskJson(['status', mounted.mountpoint, '--watch'])).toMatchObject({ health: 'ok' });
    expect(await lazydiskJson(['status', mounted.mountpoint, name])).toMatchObject({ image: name });
    const both = await lazydisk(['status', mounted.mountpoint, name, '--watch']);
    expect([both.status, both.stderr]).toEqual([
      2,
      expect.stringContaining('status takes --watch or <image>, not both.'),
    ]);
  });

  // S100
  testWith('taking over')('the daemon that takes over serves them, and its counters begin anew', async () => {
    const started = await value('lazydisk_start_time_seconds');
    await mounted.killDaemon();
    await waitFor('another daemon answers', async () => {
      const now = await value('lazydisk_start_time_seconds').catch(() => NaN);
      return now > started;
    });
    expect(await value('lazydisk_commands_total{verb="commit",result="ok"}')).toBe(0);
  });
});

describeS3('a mount whose store goes away while guests do nothing but read', () => {
  cleanUpAfter('each');

  // S115
  test('health, the read that waits and the log tell of the outage and of its end, though nobody lists anything', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const proxy = await startFaultyProxy(s3Endpoint());
    undoLater(proxy.close);
    const [port] = await freePorts(1);
    const address = `127.0.0.1:${String(port)}`;
    const mounted = await mountRepository({
      repository: through(repository, proxy.url),
      options: ['--metrics', address],
    });
    await readRange(mounted.path(name), 0, KIB);
    const metrics = async (): Promise<string> => (await fetch(`http://${address}/metrics`)).text();
    expect(await metrics()).toContain('\nlazydisk_longest_waiting_read_seconds 0\n');
    proxy.choose = () => ({ kind: 'reset' });
    const waiting = readRange(mounted.path(name), 31 * MIB, 64 * KIB);
    await waitFor('health tells of it', async () => /^lazydisk_health{.*"offline"} 1$/m.test(await metrics()));
    expect(await metrics()).toMatch(/^lazydisk_longest_waiting_read_seconds [1-9]/m);
    proxy.choose = undefined;
    expect((await waiting).equals(await readRange(original, 31 * MIB, 64 * KIB))).toBe(true);
    await waitFor('health tells of its end', async () => /^lazydisk_health{.*"ok"} 1$/m.test(await metrics()));
    const lines = (await readFile(join(mounted.stateDirectory, 'daemon.log'), 'utf8')).trim().split('\n');
    const told = lines.map((line) => (JSON.parse(line) as { message: string }).message);
    expect(told).toContain('The store did not answer; trying again.');
    const outage = ['The store does not answer; what is local goes on.', 'The store answers again.'];
    expect(told.filter((message) => outage.includes(message))).toEqual(outage);
  });
});

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}
