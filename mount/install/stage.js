// Copies what is needed to run lazydisk, and nothing else, into a folder: `make install` and `make deb`.
//
//   node mount/install/stage.js FOLDER    the programs, which begin with the absolute path of this node, and the packages with
//                                         a binary for this processor and libc; then THIRD-PARTY: who wrote what is in it
//
// The second driver, fuse-native, stays behind: it is optional, and its packages bring copies of libfuse for many systems.
// Nothing is fetched and nothing compiled. FOLDER is made anew. LAZYDISK_NODE says another path of node (of the host that
// the package is for).
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative, sep } from 'node:path';
import { OUTSIDE_PACKAGES } from '../outside-packages.js';

const PROGRAMS = 'dist/mount/cli';
/** In packages: sources of their binaries, tests, docs. What runs is none of these. */
const IDLE_FOLDERS = new Set(['deps', 'doc', 'docs', 'test', 'tests', 'vendor', '.github']);
const IDLE_FILES = /\.(c|cc|cpp|h|hh|inc|s|gyp|gypi|md|map|ts|mts|cts)$|^CMakeLists/i;
const LEFT_BEHIND = 'fuse-native';
const LICENSE_FILE = /^(licen[cs]e|copying|notice)/i;

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('Say into which folder.');
const node = process.env.LAZYDISK_NODE ?? process.execPath;
// The kernel splits the first line of a program at spaces.
if (!/^\/\S+$/.test(node))
  throw new Error(`The path of node must be absolute and without spaces, not ${JSON.stringify(node)}.`);

rmSync(folder, { recursive: true, force: true });
cpSync(PROGRAMS, join(folder, PROGRAMS), { recursive: true });
cpSync('package.json', join(folder, 'package.json'));
for (const name of readdirSync(PROGRAMS)) startWith(node, join(folder, PROGRAMS, name));
for (const path of packagesBelow(
  'node_modules',
  OUTSIDE_PACKAGES.filter((name) => name !== LEFT_BEHIND),
)) {
  mkdirSync(join(folder, path), { recursive: true });
  cpSync(path, join(folder, path), { recursive: true, filter: (file) => isNeeded(path, file) });
}
writeFileSync(join(folder, 'THIRD-PARTY'), thirdParty());

/** `#!/usr/bin/env node` becomes `#!/usr/bin/node`: mount(8) and systemd have no PATH to it. */
function startWith(path, file) {
  if (!file.endsWith('.js')) return;
  const text = readFileSync(file, 'utf8');
  const started = text
    .replace(/^#!\/usr\/bin\/env node$/m, `#!${path}`)
    .replace(/^(#!\/usr\/bin\/env -S .*) node$/m, `$1 ${path}`);
  if (started === text) return;
  writeFileSync(file, started);
  chmodSync(file, 0o755);
}

/** Paths of packages and of what they depend on, as far as it is installed; the lock file says where. */
function packagesBelow(root, names) {
  const found = new Set();
  const visit = (name, from) => {
    // As Node looks for it: in the package itself, then further up.
    const path = [join(from, 'node_modules', name), join(root, name)].find((at) => existsSync(at));
    if (path === undefined || found.has(path)) return;
    found.add(path);
    const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
    for (const other of Object.keys({ ...dependencies, ...optionalDependencies })) visit(other, path);
  };
  for (const name of names) visit(name, '.');
  return [...found].sort();
}

function isNeeded(path, file) {
  const inside = relative(path, file);
  const parts = inside.split(sep);
  if (parts.includes('node_modules')) return false;
  if (LICENSE_FILE.test(basename(file))) return true;
  if (parts.some((part) => IDLE_FOLDERS.has(part))) return false;
  if (IDLE_FILES.test(basename(file)) || isTool(file)) return false;
  return isForThisMachine(parts);
}

/** Programs of a package are for those who build it. */
function isTool(file) {
  return statSync(file).isFile() && readFileSync(file).subarray(0, 2).toString() === '#!';
}

/** Of binaries for many systems, this one's. */
function isForThisMachine(parts) {
  const musl = process.report.getReport().header.glibcVersionRuntime === undefined;
  if (parts[0] === 'prebuilds' && parts[1] !== undefined && parts[1] !== `linux-${process.arch}`) return false;
  const libc = /(?:^|[_.])(musl|glibc)(?:[_.]|$)/.exec(parts.join('/'))?.[1];
  return libc === undefined || (libc === 'musl') === musl;
}

/** Name, version and license text of every package that the programs are made of. */
function thirdParty() {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  return Object.entries(packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true && existsSync(path))
    .map(([path, { version, license }]) => {
      const texts = readdirSync(path)
        .filter((name) => LICENSE_FILE.test(name))
        .map((name) => readFileSync(join(path, name), 'utf8').trim());
      const name = path.replace(/^.*node_modules\//, '');
      return [`${name} ${version} (${license ?? 'see its text'})`, ...texts].join('\n\n');
    })
    .join(`\n\n${'-'.repeat(78)}\n\n`);
}
