/** The code cache of the programs (mount/code-cache.cjs), on a program of one line: never another program than the file says. */
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { run } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const SUM_BYTES = 32;

interface Program {
  readonly source: string;
  readonly cache: string;
}

/** A program that says `one`, with its cache. */
async function programWithCache(): Promise<Program & { start(...flags: string[]): Promise<string> }> {
  const folder = temporaryFolder('code-cache');
  copyFileSync('mount/code-cache.cjs', join(folder, 'code-cache.cjs'));
  const source = join(folder, 'toy.program.js');
  writeFileSync(source, says('one'));
  const call = async (what: 'run' | 'make', flags: readonly string[]): Promise<string> => {
    const ended = await run(process.execPath, [...flags, '-e', `require('./code-cache.cjs').${what}('toy')`], {
      cwd: folder,
      env: { NODE_OPTIONS: '' },
    });
    expect(ended.stderr).toBe('');
    return ended.stdout;
  };
  expect(await call('make', [])).toBe('one\n');
  return { source, cache: join(folder, 'toy.cache'), start: (...flags) => call('run', flags) };
}

const says = (word: string): string => `console.log('${word}');\n`;

test('a program starts from its cache', async () => {
  const program = await programWithCache();
  // Another program of the same length, under a sum that makes them belong together: V8 runs what it had compiled.
  writeFileSync(program.source, says('two'));
  const data = readFileSync(program.cache).subarray(SUM_BYTES);
  const sum = createHash('sha256').update(says('two')).update(data).digest();
  writeFileSync(program.cache, Buffer.concat([sum, data]));
  expect(await program.start()).toBe('one\n');
});

test('a program that was changed runs as it is now', async () => {
  const program = await programWithCache();
  writeFileSync(program.source, says('two'));
  expect(await program.start()).toBe('two\n');
});

test('without a cache, and with other options of Node, a program runs all the same', async () => {
  const program = await programWithCache();
  expect(await program.start('--no-opt', '--max-lazy')).toBe('one\n');
  rmSync(program.cache);
  expect(await program.start()).toBe('one\n');
});

test('a damaged cache is not used', async () => {
  const program = await programWithCache();
  const whole = readFileSync(program.cache);
  const damaged = [Buffer.alloc(0), whole.subarray(0, SUM_BYTES), whole.subarray(0, whole.length - 1)];
  for (const at of [0, SUM_BYTES, SUM_BYTES + 8, Math.floor(whole.length / 2), whole.length - 1]) {
    const flipped = Buffer.from(whole);
    flipped[at]! ^= 1;
    damaged.push(flipped);
  }
  for (const bytes of damaged) {
    writeFileSync(program.cache, bytes);
    expect(await program.start()).toBe('one\n');
  }
});
