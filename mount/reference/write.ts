/**
 * Writes what is made from the declarations of the verbs: man pages and completions into a folder, laid out as below
 * `share`, and docs/CONFIGURATION.md (`make docs`). The build calls it, before the programs are bundled.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bashTables } from './bash.js';
import { configurationPage } from './configuration.js';
import { manualPage, mountHelperPage } from './manual.js';
import { zshCompletion } from './zsh.js';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('Say into which folder.');

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const FILES: Readonly<Record<string, string>> = {
  'man/man8/lazydisk.8': manualPage(version),
  'man/man8/mount.lazydisk.8': mountHelperPage(version),
  'bash-completion/completions/lazydisk': `# Completion of lazydisk for bash.\n\n${bashTables()}\n\n${readFileSync('mount/install/completion.bash', 'utf8')}`,
  'zsh/site-functions/_lazydisk': zshCompletion(),
  'doc/lazydisk/CONFIGURATION.md': configurationPage(),
};
for (const [path, text] of Object.entries(FILES)) {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
