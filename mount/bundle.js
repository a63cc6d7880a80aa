// Makes one file of each program out of hundreds: what Node has to find, read and link before `lazydisk` does anything.
//
// It runs after tsc, which has made dist/ for those who use lazydisk as a library, and fills dist/mount/cli with the programs
// in place of their parts: the command line, the supervisor, the daemon, and the daemon's threads, all in one folder, where
// `new URL('./worker.js', import.meta.url)` finds them whoever asks. They are CommonJS, which Node starts with less ado than
// modules, and the larger ones start from a code cache (code-cache.cjs), which is made here by running them. Names and lines
// are kept as they are, so that a stack trace can be read. Packages with a binary stay outside; all stay dependencies, for
// the library. The reasons and the figures: docs/decisions/0006-programs-in-one-file.md, 0017-startup.md.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, transform } from 'esbuild';
import { OUTSIDE_PACKAGES } from './outside-packages.js';

const OUT = 'dist/mount/cli';
/** Each with the words that it is run with for its cache: they go as far as they can without doing anything. */
const PROGRAMS = [
  {
    name: 'main',
    entry: 'mount/cli/main.ts',
    words: ['mount', 's3://nowhere/at-all', '/nowhere/at-all'],
    node: '-S UV_THREADPOOL_SIZE=16 node',
    // The supervisor of a mount starts beside the command.
    before: "require('./early-main.js');\n",
  },
  { name: 'daemon-main', entry: 'mount/cli/daemon-main.ts', words: [], node: 'node', before: '' },
];
const NOT_ASCII = /[^\0-\x7f]/gu;
/** Too small for a cache. The supervisor needs nothing but Node's own modules, and is to start as fast as Node does. */
const SMALL = [
  'mount/cli/early-main.ts',
  'mount/cli/mount-helper-main.ts',
  'mount/cli/supervisor-main.ts',
  'mount/fuse/worker.ts',
  'mount/fuse/unmount-thread.ts',
];

/** Packages that are large, and needed once in a while: each is a file of its own. */
const RARE_LIBRARIES = [
  'minio',
  'prom-client',
  '@aws-sdk/credential-provider-ini',
  '@aws-sdk/credential-provider-node',
];
const RARE = new RegExp(`^(${RARE_LIBRARIES.join('|')})$`);
const fileOf = (library) => `${library.replace(/^.*\//, '')}.js`;

const common = {
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'cjs',
  logLevel: 'warning',
  // classic-level only in part: see below.
  external: OUTSIDE_PACKAGES.filter((name) => name !== 'classic-level'),
  // What is loaded later is required later: a program that runs from a cache has no other way.
  supported: { 'dynamic-import': false },
  define: { 'import.meta.url': 'thisFileUrl' },
  banner: { js: "const thisFileUrl = require('node:url').pathToFileURL(__filename).href;" },
  plugins: [
    {
      name: 'files of their own',
      setup({ onResolve }) {
        // Its binary is found from its own folder.
        onResolve({ filter: /^\.\/binding$/ }, ({ importer }) =>
          importer.includes('/classic-level/') ? { path: 'classic-level/binding.js', external: true } : undefined,
        );
        // Large, and needed once in a while.
        onResolve({ filter: RARE }, ({ path }) => ({ path: `./${fileOf(path)}`, external: true }));
      },
    },
  ],
};

rmSync(OUT, { recursive: true });
// It has made the man page and its like (dist/share) from the parts of the command line.
rmSync('dist/mount/reference', { recursive: true });
await build({ ...common, entryPoints: SMALL, outdir: OUT, entryNames: '[name]' });
for (const library of RARE_LIBRARIES) {
  await build({
    ...common,
    plugins: [],
    stdin: { contents: `module.exports = require('${library}');`, resolveDir: '.' },
    outfile: join(OUT, fileOf(library)),
  });
}
await build({
  ...common,
  entryPoints: Object.fromEntries(PROGRAMS.map(({ name, entry }) => [`${name}.program`, entry])),
  outdir: OUT,
});
chmodSync(join(OUT, 'mount-helper-main.js'), 0o755);
// The page of the dashboard: a browser's files, beside the programs that serve them.
const PAGE = 'mount/dashboard/page';
mkdirSync(join(OUT, 'dashboard'));
await build({
  entryPoints: [join(PAGE, 'app.ts'), join(PAGE, 'style.css')],
  outdir: join(OUT, 'dashboard'),
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['chrome123', 'firefox120', 'safari17.5'],
  logLevel: 'warning',
});
for (const name of ['index.html', 'icon.svg']) copyFileSync(join(PAGE, name), join(OUT, 'dashboard', name));
writeFileSync(join(OUT, 'package.json'), '{ "type": "commonjs" }\n');
copyFileSync('mount/code-cache.cjs', join(OUT, 'code-cache.cjs'));
for (const { name, words, node, before } of PROGRAMS) {
  const program = join(OUT, `${name}.program.js`);
  writeFileSync(program, await inAscii(readFileSync(program, 'utf8')));
  const file = join(OUT, `${name}.js`);
  writeFileSync(file, `#!/usr/bin/env ${node}\n${before}require('./code-cache.cjs').run('${name}');\n`);
  chmodSync(file, 0o755);
  // Its status is that of the words; what counts is the file.
  const make = `require('./${OUT}/code-cache.cjs').make('${name}')`;
  spawnSync(process.execPath, ['-e', make, '--', name, ...words], { stdio: 'ignore' });
  if (!existsSync(join(OUT, `${name}.cache`))) throw new Error(`the cache of ${name} was not made`);
}

/** esbuild writes ASCII, but for comments and regular expressions; those of ours say \u2026 and the like. */
async function inAscii(text) {
  const { code } = await transform(text, { minifyWhitespace: true, legalComments: 'none' });
  const at = code.search(NOT_ASCII);
  if (at !== -1) throw new Error(`a character in code is not ASCII: ${code.slice(at - 40, at + 40)}`);
  return text.replaceAll(NOT_ASCII, '?');
}
