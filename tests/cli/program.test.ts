import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LazydiskError, type ErrorCode } from '../../lib/util/errors.js';
import { exitStatusOf } from '../../mount/cli/exit-status.js';
import { runProgram } from '../../mount/cli/program.js';
import { defineVerb, parseCount, parseSeconds } from '../../mount/cli/verb.js';
import { VERBS } from '../../mount/cli/verbs.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-program-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function run(words: readonly string[], verbs = VERBS, uid = process.getuid?.() ?? 0) {
  const said = { out: '', err: '' };
  const status = await runProgram(words, {
    verbs,
    version: '9.8.7',
    streams: {
      stdout: { write: (text: string) => (said.out += text) },
      stderr: { write: (text: string) => (said.err += text), isTTY: false },
      stdin: { isTTY: false },
    },
    environment: { LAZYDISK_RUNTIME_DIR: folder, HOME: folder },
    uid,
  });
  return { status, ...said };
}

const NAMES = [
  ...['init', 'import', 'export', 'list', 'info', 'diff', 'clone', 'commit', 'revert'],
  ...['tag', 'delete', 'forget', 'verify', 'unlock', 'mount', 'status', 'unmount'],
];

test('--help lists every verb and the exit statuses', async () => {
  const { status, out, err } = await run(['--help']);
  expect({ status, err }).toEqual({ status: 0, err: '' });
  for (const name of NAMES) expect(out).toMatch(new RegExp(`lazydisk ${name} `));
  expect(out).toContain('6  damaged data');
});

describe.each(NAMES)('%s', (name) => {
  test('has help with examples and exit statuses', async () => {
    const { status, out, err } = await run([name, '--help']);
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(out).toContain('Examples:');
    expect(out).toContain(`lazydisk ${name}`);
    expect(out).toContain('Exit status:');
    expect(out).toContain('--endpoint');
  });

  test('without its arguments is wrong use', async () => {
    const { status, out, err } = await run([name]);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(/^lazydisk: .+\.\n/);
  });

  test('refuses options that it does not have', async () => {
    const words = [name, ...['a', 'b', 'c'].slice(0, name === 'init' || name === 'unmount' ? 1 : 2), '--frobnicate'];
    expect((await run(words)).status).toBe(2);
  });
});

test('the version is one line', async () => {
  expect(await run(['--version'])).toEqual({ status: 0, out: '9.8.7\n', err: '' });
});

test('no verb and an unknown verb are wrong use', async () => {
  expect((await run([])).status).toBe(2);
  expect((await run(['frobnicate'])).status).toBe(2);
});

test('with --json an error is one line of JSON on stderr and nothing is on stdout', async () => {
  for (const words of [
    ['list', '/nowhere', '--json'],
    ['list', '--json'],
    ['init', 'ftp://x', '--json'],
  ]) {
    const { status, out, err } = await run(words);
    expect(out).toBe('');
    const { error } = JSON.parse(err) as { error: { code: string; message: string; facts: unknown } };
    expect(error).toEqual({ code: expect.any(String), message: expect.any(String), facts: expect.any(Object) });
    expect(status).toBe(error.code === 'NOT_FOUND' ? 3 : 2);
  }
});

const STATUS: Record<ErrorCode, number> = {
  USAGE: 2,
  TOO_LARGE: 2,
  NOT_FOUND: 3,
  EXISTS: 4,
  CONFLICT: 4,
  LOCKED: 4,
  BUSY: 4,
  STALE: 4,
  UNREACHABLE: 5,
  REFUSED: 5,
  DAMAGED: 6,
  READ_ONLY: 1,
  UNSUPPORTED: 1,
  NO_SPACE: 1,
  IO: 1,
  ABORTED: 1,
};

test.each(Object.entries(STATUS))('%s ends with status %d, and its sentence on stderr', async (code, status) => {
  const error = new LazydiskError(code as ErrorCode, 'What it is.');
  const failing = defineVerb({
    command: 'fail',
    summary: 'fail',
    examples: [],
    options: (program) => program,
    run: () => Promise.reject(error),
  });
  const ended = await run(['fail'], [failing]);
  expect(ended.status).toBe(status);
  expect(ended.err.split('\n')[0]).toBe('lazydisk: What it is.');
  expect(exitStatusOf(error)).toBe(status);
});

test('anything else that is thrown ends with status 1', () => {
  expect(exitStatusOf(new TypeError('x'))).toBe(1);
});

test('names that look like numbers stay names, and an option that is given twice counts once', async () => {
  let seen: unknown;
  const verb = defineVerb({
    command: 'show <image>',
    summary: 'show',
    examples: [],
    options: (program) =>
      program.positional('image', { type: 'string', demandOption: true }).option('label', { type: 'string' }),
    run: ({ image, label }) => {
      seen = { image, label };
      return Promise.resolve();
    },
  });
  expect((await run(['show', '0012', '--label', '1', '--label', '1e3'], [verb])).status).toBe(0);
  expect(seen).toEqual({ image: '0012', label: '1e3' });
});

test('a lone dash stays a dash, as an argument and as the value of an option', async () => {
  let seen: unknown;
  const verb = defineVerb({
    command: 'show <file> <image>',
    summary: 'show',
    examples: [],
    options: (program) =>
      program
        .positional('file', { type: 'string', demandOption: true })
        .positional('image', { type: 'string', demandOption: true })
        .option('label', { type: 'string' })
        .option('new', { type: 'boolean', default: false }),
    run: ({ file, image, label }) => {
      seen = { file, image, label };
      return Promise.resolve();
    },
  });
  expect((await run(['show', '--label', '-', '--new', '-', 'vm'], [verb])).status).toBe(0);
  expect(seen).toEqual({ file: '-', image: 'vm', label: '-' });
});

test('numbers of options are checked', () => {
  expect(parseCount('4', '--workers', 1, 64)).toBe(4);
  for (const text of ['0', '65', 'x', '', '1.5', '-1']) {
    expect(() => parseCount(text, '--workers', 1, 64)).toThrow(/--workers takes a whole number from 1 to 64/);
  }
  expect(parseSeconds('0.25', '--timeout')).toBe(250);
  expect(parseSeconds('0', '--timeout')).toBe(0);
  for (const text of ['', 'x', '-1', '1h']) expect(() => parseSeconds(text, '--timeout')).toThrow(/--timeout/);
});
