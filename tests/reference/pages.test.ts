import { describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { TWINS } from '../../mount/cli/mount-twins.js';
import { configurationPage } from '../../mount/reference/configuration.js';
import { manualPage, mountHelperPage } from '../../mount/reference/manual.js';
import { VERB_FACTS } from '../../mount/reference/program-facts.js';
import { roff } from '../../mount/reference/roff.js';

test('docs/CONFIGURATION.md is what the verbs declare: `make docs` writes it', () => {
  expect(readFileSync('docs/CONFIGURATION.md', 'utf8')).toBe(configurationPage());
});

test('every link of the configuration page has its section', () => {
  const page = configurationPage();
  const links = [...page.matchAll(/\]\(#([a-z-]+)\)/g)].map(([, anchor]) => anchor);
  const sections = [...page.matchAll(/^### (.+)$/gm)].map(([, title]) => title!.replaceAll(' ', '-'));
  expect(links).toEqual(sections);
  expect(links).toHaveLength(VERB_FACTS.length);
});

function rendered(page: string): string {
  const { status, stdout, stderr } = spawnSync('groff', ['-man', '-Tascii', '-ww', '-P-cbou'], {
    input: page,
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

describe('the man pages', () => {
  test('are set without a warning, and hold every verb and option', () => {
    const text = rendered(manualPage('9.8.7'));
    expect(text).toContain('lazydisk 9.8.7');
    for (const { name, options, examples } of VERB_FACTS) {
      expect(text).toContain(`lazydisk ${name} `);
      for (const option of options) expect(text).toContain(`--${option.name}`);
      for (const { commandLine } of examples) expect(text).toContain(`lazydisk ${commandLine}`);
    }
    expect(text).toMatch(/^ {7}6 +damaged data$/m);
  });

  test('name every option of mount(8)', () => {
    const text = rendered(mountHelperPage('9.8.7'));
    for (const name of TWINS.keys()) expect(text).toContain(name.replaceAll('-', '_'));
    expect(text).toContain('mount -t lazydisk SPEC DIR [-sfnv] [-o OPTION,...]');
  });

  test('show text as it is, whatever it begins with', () => {
    expect(rendered(`.TH X 8\n.PP\n${roff(".so 'x' \\n \\- a-b")}`)).toContain(".so 'x' \\n \\- a-b");
  });
});
