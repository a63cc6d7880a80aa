import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bashTables } from '../../mount/reference/bash.js';
import { VERB_FACTS } from '../../mount/reference/program-facts.js';
import { zshCompletion } from '../../mount/reference/zsh.js';

const SUPPORT = '/usr/share/bash-completion/bash_completion';
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-completion-'));
  mkdirSync(join(folder, 'mount', 'debian-12'), { recursive: true });
  mkdirSync(join(folder, 'mount', 'vm-01'));
  writeFileSync(join(folder, 'mount', 'control'), '');
  writeFileSync(join(folder, 'disk.raw'), '');
  writeFileSync(
    join(folder, 'lazydisk.bash'),
    `${bashTables()}\n${readFileSync('mount/install/completion.bash', 'utf8')}`,
  );
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** What bash offers behind these words; the last one is what has been typed of the word at the cursor. */
function offered(...words: string[]): string[] {
  const line = ['lazydisk', ...words].join(' ');
  const script = `
    set -e; source ${SUPPORT}; source ${folder}/lazydisk.bash; cd ${folder}
    COMP_LINE=$1; COMP_POINT=\${#COMP_LINE}; shift; COMP_WORDS=("$@"); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); COMP_TYPE=9
    compopt() { :; }
    set +e; _lazydisk; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const parts = ['lazydisk', ...words].flatMap((word) => word.split(/(?<==)|(?==)|(?<=:)(?!:)|(?=:)(?<!:)/));
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', line, ...parts], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((text) => text !== '');
}

describe('completion in bash', () => {
  test('of the verb: every one, and those that begin so', () => {
    expect(offered('').sort()).toEqual(VERB_FACTS.map(({ name }) => name).sort());
    expect(offered('und')).toEqual(['undelete']);
  });

  test('of options: those of the verb, and those of all', () => {
    expect(offered('mount', '--read')).toEqual(['--read-only']);
    expect(offered('init', '--read')).toEqual([]);
    expect(offered('init', '--js')).toEqual(['--json']);
  });

  test('of the value of an option', () => {
    expect(offered('mount', '--fill', '')).toEqual(['off', 'idle', 'eager']);
    expect(offered('mount', '--fill=e')).toEqual(['eager']);
    expect(offered('mount', '--state', 'mo')).toEqual(['mount']);
    expect(offered('mount', '--workers', '')).toEqual([]);
  });

  test('of an argument: choices, a file, an image of the mount that was named before', () => {
    expect(offered('profile', 'r')).toEqual(['record']);
    expect(offered('import', 's3://images/prod', 'd')).toEqual(['disk.raw']);
    expect(offered('commit', 'mount', '')).toEqual(['debian-12', 'vm-01']);
    expect(offered('commit', '--json', '--label', 'x', 'mount', 'v')).toEqual(['vm-01']);
    expect(offered('list', 's3://images/prod', '')).toEqual([]);
  });
});

describe('completion in zsh', () => {
  test('is understood by zsh', () => {
    const file = join(folder, '_lazydisk');
    writeFileSync(file, zshCompletion());
    const { status, stderr } = spawnSync('zsh', ['-f', '-n', file], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  test.each([
    ['und', 'elete'],
    ['mount --read-o', 'nly'],
    ['mount s3://images/prod --read-o', 'nly'],
    ['mount --fill=ea', 'ger'],
    ['profile rec', 'ord'],
    ['commit mount deb', 'ian-12'],
  ])('behind `lazydisk %s` adds %s, in an interactive shell', (typed, added) => {
    writeFileSync(join(folder, '_lazydisk'), zshCompletion());
    // What the Tab adds is waited for; its absence ends in the timeout.
    const script = `
      zmodload zsh/zpty; zpty shell zsh -f -i
      zpty -w shell "PS1=; fpath=(${folder} \\$fpath); autoload -Uz compinit; compinit -u -D; cd ${folder}; print DO''NE"
      zpty -r -m shell said '*DONE*'
      zpty -w -n shell "lazydisk ${typed}"$'\t'; zpty -r -m shell said "*${added}*" && print found
      zpty -d shell`;
    const { stdout } = spawnSync('zsh', ['-f', '-c', script], { encoding: 'utf8', timeout: 60_000 });
    expect(stdout.trim()).toBe('found');
  });
});
