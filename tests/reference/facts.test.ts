import { describe, expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { runProgram } from '../../mount/cli/program.js';
import { VERBS } from '../../mount/cli/verbs.js';
import { ENVIRONMENT } from '../../mount/reference/environment.js';
import { factsOf } from '../../mount/cli/verb-facts.js';
import { allOptionsOf, usageOf, VERB_FACTS } from '../../mount/reference/program-facts.js';

async function helpOf(verb: string): Promise<string> {
  let text = '';
  await runProgram([verb, '--help'], {
    verbs: VERBS,
    version: '1',
    streams: { stdout: { write: (more) => (text += more) }, stderr: { write: () => true }, stdin: {} },
    environment: {},
    uid: 0,
  });
  // A column that is full touches the kind of the option, which stands in brackets.
  return text.replaceAll('[', ' [').replaceAll(/\s+/g, ' ');
}

describe.each(VERB_FACTS.map((verb) => [verb.name, verb] as const))('the facts of %s', (name, verb) => {
  test('are what its help says', async () => {
    // Help has two columns: what stands in one may be cut by the other, but no word of it is missing.
    const help = await helpOf(name);
    const said = [
      verb.summary,
      ...verb.positionals.flatMap((positional) => [positional.name, positional.meaning]),
      ...allOptionsOf(verb).flatMap((option) => [`--${option.name} `, option.meaning]),
      ...verb.examples.flatMap(({ commandLine, meaning }) => [`lazydisk ${commandLine}`, meaning]),
    ].flatMap((text) => text.trim().split(/\s+/));
    expect(said.filter((word) => !help.includes(word))).toEqual([]);
  });

  test('have every option of its help', async () => {
    const help = await helpOf(name);
    const [, options = ''] = /Options: (.*?)(?:Examples:|Exit status:)/.exec(help) ?? [];
    const shown = [...options.matchAll(/ --([a-z-]+) (?=.*?\[)/g)].map(([, option]) => option);
    const known = new Set([...allOptionsOf(verb).map((option) => option.name), 'help', 'version']);
    // An option that the meaning of another one names counts too.
    expect(shown.filter((option) => !known.has(option!))).toEqual([]);
    expect(shown.length).toBeGreaterThan(3);
  });
});

test('the usage of a verb names its arguments in their order', () => {
  const usages = new Map(VERB_FACTS.map((verb) => [verb.name, usageOf(verb)]));
  expect(usages.get('clone')).toBe('lazydisk clone WHERE IMAGE NEW-IMAGE [OPTION…]');
  expect(usages.get('list')).toBe('lazydisk list WHERE [IMAGE]');
});

test('a verb that is two is refused', () => {
  expect(() => factsOf([(program) => program])).toThrow(/one command/);
});

test('every variable of the environment that the sources read is described, and no other', () => {
  const sources = ['lib', 'mount']
    .flatMap((room) => readdirSync(room, { recursive: true, encoding: 'utf8' }).map((path) => `${room}/${path}`))
    .filter((path) => path.endsWith('.ts') && !path.startsWith('mount/reference/'))
    .map((path) => readFileSync(path, 'utf8'));
  const read = new Set(
    sources.flatMap((text) =>
      [...text.matchAll(/\benv(?:ironment)?(?:\.|\[')([A-Z][A-Z0-9_]+)|'((?:AWS|LAZYDISK)_[A-Z0-9_]+)'/g)].map(
        ([, name, own]) => name ?? own,
      ),
    ),
  );
  read.delete('LAZYDISK_TEST_BOOT_ID');
  expect(ENVIRONMENT.map(({ name }) => name).sort()).toEqual([...read].sort());
});
