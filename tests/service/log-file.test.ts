import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LazydiskError } from '../../lib/util/errors.js';
import { LogFile } from '../../mount/service/log-file.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-log-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function lines(path: string): Record<string, unknown>[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('a line has time, level, message and facts', () => {
  const path = join(folder, 'daemon.log');
  const log = new LogFile(path, { now: () => new Date(0), environment: {} });
  log.warn('The store is away.', { waiting: 3 });
  log.close();
  expect(lines(path)).toEqual([
    { time: '1970-01-01T00:00:00.000Z', level: 'warn', message: 'The store is away.', waiting: 3 },
  ]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('two files of at most the bound hold the newest lines, whatever is logged', () => {
  const path = join(folder, 'daemon.log');
  const log = new LogFile(path, { limitBytes: 4096, environment: {} });
  for (let count = 0; count < 500; count++) log.info('line', { count });
  log.close();
  expect(readdirSync(folder).sort()).toEqual(['daemon.log', 'daemon.log.1']);
  for (const name of ['daemon.log', 'daemon.log.1'])
    expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(4096);
  const counts = [...lines(`${path}.1`), ...lines(path)].map((line) => line['count'] as number);
  expect(counts.at(-1)).toBe(499);
  expect(counts).toEqual(counts.map((_, at) => (counts[0] ?? 0) + at));
});

test('a restarted daemon goes on in the same file and keeps the bound', () => {
  const path = join(folder, 'daemon.log');
  for (let start = 0; start < 50; start++) {
    const log = new LogFile(path, { limitBytes: 1024, environment: {} });
    log.info('started', { start });
    log.close();
  }
  expect(statSync(path).size).toBeLessThanOrEqual(1024);
});

test('a file that somebody has removed is followed by a new one at the bound, and no line is lost after it', () => {
  const path = join(folder, 'daemon.log');
  const log = new LogFile(path, { limitBytes: 4096, environment: {} });
  log.info('first');
  rmSync(path);
  for (let count = 0; count < 100; count++) log.info('line', { count });
  log.close();
  const kept = readdirSync(folder)
    .sort()
    .reverse()
    .flatMap((name) => lines(join(folder, name)));
  expect(kept.at(-1)).toMatchObject({ message: 'line', count: 99 });
  expect(kept.filter(({ message }) => message !== 'line')).toEqual([]);
});

test('a huge line is cut and still JSON', () => {
  const path = join(folder, 'daemon.log');
  const log = new LogFile(path, { environment: {} });
  log.error('x'.repeat(1_000_000));
  log.close();
  expect(statSync(path).size).toBeLessThan(20_000);
  expect(lines(path)[0]).toMatchObject({ level: 'error', cut: true });
});

test('credentials never enter a line, neither by value nor by name', () => {
  const path = join(folder, 'daemon.log');
  const environment = { AWS_SECRET_ACCESS_KEY: 'correct-horse-battery', AWS_SESSION_TOKEN: 'session-of-today' };
  const log = new LogFile(path, { environment });
  log.error('signed with correct-horse-battery', {
    nested: { secretKey: 'other', authorization: 'AWS4 …' },
    error: new Error('token session-of-today is over'),
  });
  log.close();
  const text = readFileSync(path, 'utf8');
  for (const secret of ['correct-horse-battery', 'session-of-today', 'other', 'AWS4'])
    expect(text).not.toContain(secret);
});

test('errors keep their code, message and facts', () => {
  const path = join(folder, 'daemon.log');
  const log = new LogFile(path, { environment: {} });
  log.error('failed', {
    error: new LazydiskError('DAMAGED', 'The segment is short.', { facts: { key: 'segments/1' } }),
  });
  log.close();
  expect(lines(path)[0]).toMatchObject({
    error: { code: 'DAMAGED', message: 'The segment is short.', facts: { key: 'segments/1' } },
  });
});

test('facts that are no JSON lose only the facts, and a closed log takes no line', () => {
  const path = join(folder, 'daemon.log');
  const log = new LogFile(path, { environment: {} });
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  log.info('a cycle', cycle);
  log.close();
  log.info('too late');
  expect(lines(path).map((line) => line['message'])).toEqual(['a cycle']);
});

test('what is less important than the level is no line, also where lines are echoed', () => {
  const path = join(folder, 'daemon.log');
  const echoed: string[] = [];
  const log = new LogFile(path, { environment: {}, level: 'warn', echo: (line) => void echoed.push(line) });
  log.info('nothing new');
  log.warn('slow');
  log.error('broken');
  log.close();
  expect(lines(path).map((line) => line['level'])).toEqual(['warn', 'error']);
  expect(echoed.length).toBe(2);
});

test('as text, a line is time, level, sentence and facts', () => {
  const path = join(folder, 'daemon.log');
  const log = new LogFile(path, { environment: {}, format: 'text', now: () => new Date(0) });
  log.warn('The "store" did not answer.', { key: 'segments/1', attempts: 2, reason: 'it was busy', url: undefined });
  log.error('Broken.', { error: new LazydiskError('DAMAGED', 'short'), secretKey: 'abc' });
  log.close();
  expect(readFileSync(path, 'utf8')).toBe(
    '1970-01-01T00:00:00.000Z WARN  The "store" did not answer. key=segments/1 attempts=2 reason="it was busy" url=null\n' +
      '1970-01-01T00:00:00.000Z ERROR Broken. error={"code":"DAMAGED","message":"short","facts":{}} secretKey="[hidden]"\n',
  );
});

test.each(['json', 'text'] as const)('as %s, a message or fact with line ends is one line still', (format) => {
  const path = join(folder, 'daemon.log');
  const log = new LogFile(path, { environment: {}, format });
  log.info('first\nsecond', { reason: 'third\r\nfourth' });
  log.close();
  expect(readFileSync(path, 'utf8').split('\n').length).toBe(2);
});

test('as text, secrets are hidden, a cycle harms nothing, and a huge line is cut', () => {
  const path = join(folder, 'daemon.log');
  const log = new LogFile(path, { environment: { AWS_SECRET_ACCESS_KEY: 'correct-horse-battery' }, format: 'text' });
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  log.info('signed with correct-horse-battery', { cycle });
  log.info('x'.repeat(1_000_000));
  log.close();
  const [first, second] = readFileSync(path, 'utf8').split('\n');
  expect(first).toMatch(/signed with \[hidden\] cycle=\[cycle\]$/);
  expect(second).toMatch(/x \(cut\)$/);
  expect(second!.length).toBeLessThan(10_000);
});
