import { beforeEach, expect, test } from '@jest/globals';
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Intake } from '../../lib/disks/image-source.js';
import { Members } from '../../lib/disks/layer-members.js';
import { choosePlatform, wantedPlatform } from '../../lib/disks/oci-choice.js';
import { exportImage } from '../../lib/repository/export.js';
import { importImage, type ImportOptions } from '../../lib/repository/import.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import {
  dockerConfig,
  dockerManifest,
  file,
  folder,
  LayoutBuilder,
  link,
  NAME,
  OCI,
  tarOf,
  whiteout,
  type Descriptor,
  type Entry,
} from '../helpers/oci-layouts.js';
import { childrenOf, must } from '../helpers/processes.js';
import { SmallDisk } from '../helpers/small-disk.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { createWorld } from '../repository/worlds.js';

cleanUpAfter('each');

let place: string;
let temporary: string;
let layout: LayoutBuilder;
beforeEach(() => {
  place = temporaryFolder('oci');
  temporary = temporaryFolder('oci-tmp');
  layout = new LayoutBuilder(join(place, 'layout'));
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = temporary;
  undoLater(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });
});

async function expectNothingLeft(): Promise<void> {
  expect(readdirSync(temporary)).toEqual([]);
  expect(await childrenOf(process.pid)).toEqual([]);
}

/** Imports, and gives the file system that came out. */
async function diskOf(options: Partial<ImportOptions> = {}, path = layout.path): Promise<string> {
  const world = await createWorld();
  await importImage(world.repository, {
    source: { kind: 'file', path },
    image: 'app',
    platform: 'linux/amd64',
    ...options,
  });
  const raw = join(place, 'out.raw');
  await exportImage(world.repository, { image: 'app', target: { kind: 'file', path: raw, force: true } });
  await must('e2fsck', ['-fn', raw]);
  await expectNothingLeft();
  return raw;
}

/** The error of an import that has to fail and to leave nothing. */
async function refused(code: string, words: string | RegExp, options: Partial<ImportOptions> = {}): Promise<void> {
  await expect(diskOf(options)).rejects.toMatchObject({ code, message: expect.stringMatching(words) });
  await expectNothingLeft();
}

/** What `debugfs` says about a name. */
const ask = (raw: string, what: string): Promise<string> => must('debugfs', ['-R', what, raw]);

/** Every file of the disk with its content, as paths; a folder ends with a slash. */
async function treeOf(raw: string): Promise<Record<string, string>> {
  const to = join(place, 'dump');
  rmSync(to, { recursive: true, force: true });
  await must('mkdir', [to]);
  await ask(raw, `rdump / ${to}`);
  const tree: Record<string, string> = {};
  const bytes = (path: string): Buffer => Buffer.from(`${to}/${path}`, 'latin1');
  const walk = (path: string): void => {
    for (const entry of readdirSync(bytes(path), { withFileTypes: true, encoding: 'buffer' })) {
      const name = `${path}${entry.name.toString('latin1')}`;
      if (name === 'lost+found') continue;
      if (entry.isDirectory()) walk(`${name}/`);
      tree[entry.isDirectory() ? `${name}/` : name] = entry.isFile() ? readFileSync(bytes(name), 'utf8') : '';
    }
  };
  walk('');
  return tree;
}

/** The tree of an image whose layers have these entries. */
async function laid(...layers: readonly (readonly Entry[])[]): Promise<Record<string, string>> {
  return treeOf(await rawOf(...layers));
}

async function rawOf(...layers: readonly (readonly Entry[])[]): Promise<string> {
  layout.top(layout.manifest(await layersOf(...layers)));
  return diskOf();
}

async function layersOf(...layers: readonly (readonly Entry[])[]): Promise<Descriptor[]> {
  return Promise.all(layers.map((entries) => layout.layer(tarOf(...entries))));
}

// S96
test('layers, however they are packed, lie over each other with owners, modes, links, devices and attributes', async () => {
  const base = tarOf(
    folder('./'),
    folder('etc/', { mode: 0o750, owner: [7, 8], xattrs: { 'user.kept': 'below' } }),
    file('etc/passwd', 'old', { mode: 0o640, owner: [1234, 5678], xattrs: { 'user.colour': 'green' } }),
    file('etc/hosts', 'hosts'),
    { name: 'etc/hosts.twin', type: '1', link: 'etc/hosts' },
    { name: 'null', type: '3', device: [1, 3], mode: 0o666 },
    link('mtab', '/proc/mounts'),
    folder('caf\xe9 \\ \n/', { mode: 0o711 }),
  );
  const second = tarOf(
    folder('srv', { mode: 0o1777 }),
    file('srv/a'),
    file('srv/b'),
    file('etc/passwd', 'new'),
    file('caf\xe9 \\ \n/x'),
  );
  const third = tarOf(
    folder('srv/', { mode: 0o700, owner: [9, 9] }),
    file('srv/b', 'newer'),
    whiteout('etc/.wh.hosts'),
  );
  const layers = [
    await layout.layer(base, 'gzip'),
    await layout.layer(second, 'zstd'),
    await layout.layer(third, 'none'),
  ];
  layout.top(layout.manifest(layers));
  const raw = await diskOf();
  expect(await treeOf(raw)).toMatchObject({
    'etc/passwd': 'new',
    'etc/hosts.twin': 'hosts',
    'srv/a': 'srv/a',
    'srv/b': 'newer',
  });
  // The layers above put files into it without an entry for it: it keeps what it has.
  expect(await ask(raw, 'ls -l /')).toMatch(/ 40711 .* caf/);
  const etc = await ask(raw, 'stat /etc');
  expect(etc).toMatch(/Mode: +0750/);
  expect(etc).toMatch(/User: +7 +Group: +8 /);
  expect(etc).toMatch(/mtime: 0x3b9aca00/);
  expect(await ask(raw, 'ea_list /etc')).toContain('user.kept (5) = "below"');
  const srv = await ask(raw, 'stat /srv');
  expect(srv).toMatch(/Mode: +0700/);
  expect(srv).toMatch(/User: +9 +Group: +9 /);
  expect(await ask(raw, 'stat /etc/hosts.twin')).toMatch(/Links: 1 /);
  expect(await ask(raw, 'stat /null')).toMatch(/Type: character special[^]*Device major\/minor number: 01:03/);
  expect(await ask(raw, 'stat /mtab')).toContain('/proc/mounts');
  expect(await ask(raw, 'ea_list /etc/passwd')).not.toContain('green');
});

// S96
test('a file that nothing above touches keeps its owner, its attributes and its other names', async () => {
  const raw = await rawOf(
    [file('a', 'a', { mode: 0o4755, owner: [12, 34], xattrs: { 'user.x': 'y' } }), { name: 'b', type: '1', link: 'a' }],
    [file('c')],
  );
  const stat = await ask(raw, 'stat /a');
  expect(stat).toMatch(/Mode: +04755/);
  expect(stat).toMatch(/User: +12 +Group: +34 /);
  expect(stat).toMatch(/Links: 2 /);
  expect(await ask(raw, 'ea_list /b')).toContain('user.x (1) = "y"');
});

// S96
test.each([
  ['a whiteout hides a file', [file('a'), file('b')], [whiteout('.wh.a')], ['b']],
  ['a whiteout hides a folder with all in it', [folder('d'), file('d/e/f'), file('g')], [whiteout('.wh.d')], ['g']],
  ['a whiteout of nothing', [file('a')], [whiteout('.wh.z'), whiteout('n/.wh.z')], ['a', 'n/']],
  ['a whiteout hides what is below only', [file('a', 'old')], [file('a', 'new'), whiteout('.wh.a')], ['a']],
  ['a folder hidden and made again is new', [file('d/old')], [whiteout('.wh.d'), file('d/new')], ['d/', 'd/new']],
  [
    'an opaque folder has only what its layer has, wherever the sign stands',
    [file('d/old'), file('d/e/old')],
    [folder('d'), file('d/e/new'), whiteout('d/.wh..wh..opq')],
    ['d/', 'd/e/', 'd/e/new'],
  ],
  ['an opaque folder that is not stated', [file('d/old')], [whiteout('d/.wh..wh..opq'), file('d/n')], ['d/', 'd/n']],
  ['a file takes the place of a folder', [file('d/old')], [file('d')], ['d']],
  ['a folder takes the place of a file', [file('d')], [file('d/new')], ['d/', 'd/new']],
  [
    'a stated folder takes the place of a link',
    [file('t/x'), link('d', 't')],
    [folder('d'), file('d/y')],
    ['d/', 'd/y', 't/', 't/x'],
  ],
  ['a link takes the place of a folder', [file('d/old'), file('t/x')], [link('d', 't')], ['d', 't/', 't/x']],
  ['signs of others', [file('a')], [whiteout('.wh..wh.aufs'), whiteout('.wh...'), whiteout('n/.wh..')], ['a', 'n/']],
] as const)('%s', async (_, first, second, expected) => {
  expect(Object.keys(await laid(first, second)).sort()).toEqual([...expected].sort());
});

// S96
test('what is put below a link of the layers below lands where the link leads inside of the tree', async () => {
  const base = [
    file('usr/bin/sh'),
    link('usr/own', '/usr/bin'),
    link('bin', '../../usr/bin'),
    link('sbin', '/bin'),
    link('top', '/'),
    file('usr/bin/x'),
  ];
  const tree = await laid(
    base,
    [file('bin/a'), file('sbin/d/b'), file('top/c'), file('usr/own/o'), whiteout('bin/.wh.x')],
    [file('sbin/d/e')],
  );
  expect(Object.keys(tree).sort()).toEqual(
    [
      'bin',
      'c',
      'sbin',
      'top',
      'usr/',
      'usr/bin/',
      'usr/bin/a',
      'usr/bin/d/',
      'usr/bin/d/b',
      'usr/bin/d/e',
      'usr/bin/o',
      'usr/own',
      'usr/bin/sh',
    ].sort(),
  );
});

const hardLink = (name: string, target: string): Entry => ({ name, type: '1', link: target });

// S96
test('a layer gives more names to files of the layers below, also to such as it hides or replaces', async () => {
  const odd = "it's\n a: \\x' \xe9";
  const raw = await rawOf(
    [file('bin/a', 'a', { owner: [12, 34], xattrs: { 'user.x': 'y' } }), link('s', 'bin/a'), file('old'), file(odd)],
    [
      folder('bin/', { mode: 0o700 }),
      hardLink('./bin/b', './bin/a'),
      hardLink('new/c', 'bin/b'),
      hardLink('s2', 's'),
      hardLink('kept', 'old'),
      whiteout('.wh.old'),
      hardLink(`${odd}.twin`, odd),
      file('replaced', 'second'),
      hardLink('second', 'replaced'),
    ],
    [hardLink('bin/d', 'new/c'), hardLink('before', 'replaced'), file('replaced', 'third')],
  );
  const tree = await treeOf(raw);
  expect(tree).toEqual({
    'bin/': '',
    ...Object.fromEntries(['bin/a', 'bin/b', 'bin/d', 'new/c'].map((name) => [name, 'a'])),
    'new/': '',
    kept: 'old',
    ...{ s: '', s2: '', [odd]: odd, [`${odd}.twin`]: odd },
    ...{ replaced: 'third', second: 'second', before: 'second' },
  });
  expect(await ask(raw, 'stat /bin/b')).toMatch(/User: +12 +Group: +34 [^]*Links: 4 /);
  expect(await ask(raw, 'ea_list /new/c')).toContain('user.x (1) = "y"');
  expect(await ask(raw, 'stat /s2')).toMatch(/Type: symlink[^]*bin\/a/);
  expect(await ask(raw, 'stat /bin')).toMatch(/Mode: +0700/);
});

// S96
test.each([
  ['nothing', [hardLink('a', 'none')], 'a hard link to "/none", and no file is there'],
  ['a folder', [hardLink('a', 'd')], 'a hard link to "/d", and no file is there'],
  ['what a link leads to', [hardLink('a', 'to/f')], 'a hard link to "/to/f", and no file is there'],
  ['what is above', [hardLink('a', '../../etc/passwd')], 'a hard link to "/etc/passwd", and no file is there'],
  ['what is outside', [hardLink('a', '/etc/passwd')], 'a hard link to "/etc/passwd", and no file is there'],
  ['a file, by a name that is taken', [file('a'), hardLink('a', 'd/f')], 'has "/a" twice'],
  ['a file, by a name behind a link', [link('l', 'm'), folder('m'), hardLink('l/a', 'd/f')], 'in no folder of it'],
])('a hard link to %s is refused', async (_, entries, words) => {
  layout.top(layout.manifest(await layersOf([file('d/f'), link('to', 'd')], entries)));
  await refused('DAMAGED', `layer 2 of 2 of .* ${words}`);
});

// S96
test('an archive that has a hard link to a file below and another fault is refused for the fault', async () => {
  const whole = tarOf(hardLink('a', 'f'), file('g', 'x'.repeat(4000)));
  layout.top(layout.manifest([...(await layersOf([file('f')])), await layout.layer(whole.subarray(0, 2048))]));
  await refused('DAMAGED', "can't be unpacked by tar: Unexpected EOF in archive");
});

// S96
test('an archive whose last block is not filled up is whole as long as its last file is', async () => {
  const archive = tarOf(folder('d'), file('f', 'x'.repeat(700)));
  const cut = async (bytes: number): Promise<void> => {
    layout.top(layout.manifest([await layout.layer(archive.subarray(0, bytes))]));
  };
  await cut(3 * 512 + 188);
  expect(await treeOf(await diskOf())).toEqual({ 'd/': '', f: 'x'.repeat(700) });
  // A header tells by its checksum.
  await cut(400);
  expect(await treeOf(await diskOf())).toEqual({ 'd/': '' });
  for (const [bytes, words] of [
    [3 * 512 + 187, 'it ends within a file'],
    [3 * 512, 'Unexpected EOF'],
    [100, 'does not look like a tar'],
  ] as const) {
    await cut(bytes);
    await refused('DAMAGED', `layer 1 of 1 of .* by tar: .*${words}`);
  }
});

// S96
test('no layer reaches out of the tree', async () => {
  const outside = join(place, 'outside');
  await must('mkdir', [outside]);
  const up = `${'../'.repeat(20)}${outside.slice(1)}`;
  const links = [link('absolute', outside), link('relative', up), link('round', 'around'), link('around', 'round')];
  // Through a link of an earlier layer: there is no such folder in the tree.
  for (const name of ['absolute', 'relative', 'round']) {
    layout.top(layout.manifest(await layersOf(links, [file(`${name}/new`)])));
    await refused('DAMAGED', /layer 2 of 2 .* below "\/\w+", a link of the layers below that leads to no folder/);
  }
  // Through one of its own layer, by dots, as a hard link.
  for (const bad of [[...links, file('absolute/new')], [...links, file('relative/new')], [file(`${up}/new`)]]) {
    layout.top(layout.manifest(await layersOf(bad)));
    await refused('DAMAGED', "can't be unpacked by tar: (?!/)");
  }
  // A hidden link is not followed, and what is called so afterwards is a folder.
  expect(Object.keys(await laid(links, [whiteout('.wh.absolute'), file('absolute/new')]))).toContain('absolute/new');
  expect(await laid([file(`${outside}/inside`)])).toHaveProperty([`${outside.slice(1)}/inside`]);
  expect(readdirSync(outside)).toEqual([]);
});

// S96
test('a layer that unpacks to more than there is room for fails for that, and gives the room back', async () => {
  const disk = await SmallDisk.mount(64 * 1024 * 1024);
  process.env['TMPDIR'] = disk.folder;
  const packed = await layout.layer(tarOf(file('bomb', '0'.repeat(100_000_000))), 'zstd');
  expect(packed.size).toBeLessThan(100_000);
  layout.top(layout.manifest([packed]));
  await refused('NO_SPACE', `${disk.folder} can't hold what is needed .*set TMPDIR`);
  expect(readdirSync(disk.folder)).toEqual(['lost+found']);
});

// S96
test('a blob that is missing, cut, another, or of an unknown type is told', async () => {
  const [first, second] = (await layersOf([file('a')], [file('b')])) as [Descriptor, Descriptor];
  const manifest = layout.manifest([first, second]);
  layout.top(manifest);
  const bytes = readFileSync(layout.pathOf(second));
  writeFileSync(layout.pathOf(second), Buffer.from(bytes).fill(1, 600, 601));
  await refused('DAMAGED', `${second.digest}.* its sha256 is`);
  appendFileSync(layout.pathOf(second), 'x');
  await refused('DAMAGED', `another length: ${second.digest} has ${String(bytes.length + 1)} bytes, not`);
  rmSync(layout.pathOf(second));
  await refused('DAMAGED', `lacks blobs/sha256/${second.digest.slice(7)}; copy the image again`);
  symlinkSync('/etc/hostname', layout.pathOf(second));
  await refused('DAMAGED', 'a link out of it');
  // It is compared before gzip gets to see it.
  const packed = await layout.layer(tarOf(file('a')), 'gzip');
  layout.top(layout.manifest([packed]));
  writeFileSync(layout.pathOf(packed), Buffer.alloc(packed.size));
  await refused('DAMAGED', `${packed.digest}.* its sha256 is`);
  layout.top(layout.manifest([{ ...first, mediaType: `${OCI}.layer.v1.tar+zip` }]));
  await refused('UNSUPPORTED', 'a layer of the type application/vnd.oci.image.layer.v1.tar\\+zip');
  layout.top(layout.manifest([first], 'amd64', 'application/vnd.cncf.helm.config.v1+json'));
  await refused('UNSUPPORTED', 'helm');
  layout.top({ ...first });
  await refused('UNSUPPORTED', 'an entry of the type');
  layout.top(layout.manifest([{ ...first, mediaType: `${OCI}.layer.v1.tar+gzip` }]));
  await refused('DAMAGED', "can't be unpacked");
});

// S96
test('documents are not believed', async () => {
  const descriptor = layout.manifest(await layersOf([file('a')]));
  for (const digest of ['sha256:../../../etc/passwd', `sha256:${'A'.repeat(64)}`, 'md5:0123', '']) {
    layout.top({ ...descriptor, digest });
    await refused('DAMAGED', 'index.json is not what .*manifests.0.digest: no digest');
  }
  layout.top({ ...descriptor, size: 5e6 });
  await refused('DAMAGED', 'a document of 5000000 bytes');
  layout.top(layout.manifest([]));
  await refused('DAMAGED', 'layers');
  writeFileSync(join(layout.path, 'index.json'), '{');
  await refused('DAMAGED', 'no JSON');
  let nested = descriptor;
  for (let depth = 0; depth < 5; depth++) nested = layout.index([nested]);
  layout.top(nested);
  await refused('DAMAGED', 'more than 4 indexes');
  writeFileSync(join(layout.path, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
  await refused('DAMAGED', 'imageLayoutVersion');
});

// S96
test('of several images one is named, of several machines the own one or the wanted one is taken', async () => {
  const of = async (name: string, architecture: string): Promise<Descriptor> => ({
    ...layout.manifest(await layersOf([file(name)]), architecture),
    platform: { os: 'linux', architecture },
  });
  const named = (descriptor: Descriptor, name: string): Descriptor => ({
    ...descriptor,
    annotations: { [NAME]: name },
  });
  const both = layout.index([await of('arm', 'arm64'), await of('intel', 'amd64'), await of('z', 's390x')]);
  const single = layout.manifest(await layersOf([file('single')]));
  layout.top(named(layout.index([both]), 'app:1.4'), named(single, 'tool'));
  await refused('USAGE', 'has several images: app:1.4, tool; choose one by --reference NAME');
  await refused('NOT_FOUND', 'no image none; it has app:1.4, tool', { reference: 'none' });
  const choose = async (options: Partial<ImportOptions>): Promise<string[]> =>
    Object.keys(await treeOf(await diskOf(options)));
  expect(await choose({ reference: 'app:1.4' })).toEqual(['intel']);
  expect(await choose({ reference: 'app:1.4', platform: 'linux/arm64' })).toEqual(['arm']);
  expect(await choose({ reference: single.digest })).toEqual(['single']);
  const ours = { x64: 'intel', arm64: 'arm', s390x: 'z' }[process.arch as string];
  expect(await choose({ reference: 'app:1.4', platform: undefined })).toEqual([ours]);
  await refused('NOT_FOUND', 'no image for linux/riscv64; it has linux/arm64, linux/amd64, linux/s390x', {
    reference: 'app:1.4',
    platform: 'linux/riscv64',
  });
  await refused('NOT_FOUND', 'for linux/amd64 only', { reference: 'tool', platform: 'linux/arm64' });
  await refused('USAGE', '--platform takes', { reference: 'tool', platform: 'arm' });
});

// S96
test('a tar of a layout, as docker save writes it, becomes the same, also packed', async () => {
  layout.top(layout.manifest(await layersOf([file('a', 'old')], [file('a', 'new')])));
  writeFileSync(join(layout.path, 'manifest.json'), '[]');
  for (const suffix of ['tar', 'tar.gz']) {
    const archive = join(place, `app.${suffix}`);
    await must('tar', ['-C', layout.path, '-caf', archive, '.']);
    expect(await treeOf(await diskOf({}, archive))).toEqual({ a: 'new' });
  }
  rmSync(join(layout.path, 'index.json'));
  symlinkSync('/etc/passwd', join(layout.path, 'index.json'));
  await must('tar', ['-C', layout.path, '-cf', join(place, 'app.tar'), '.']);
  await expect(diskOf({}, join(place, 'app.tar'))).rejects.toMatchObject({
    code: 'DAMAGED',
    message: expect.stringContaining('a link out of it at index.json'),
  });
  await expectNothingLeft();
  expect(existsSync('/etc/passwd')).toBe(true);
});

/** An archive in the older form of docker save. */
function dockerArchive(...entries: readonly Entry[]): string {
  const archive = join(place, 'docker.tar');
  writeFileSync(archive, tarOf(...entries));
  return archive;
}

const LOWER = tarOf(file('a', 'old'), file('b'));
const UPPER = tarOf(file('a', 'new'), whiteout('.wh.b'));
const OTHER = tarOf(file('c'));
const APP = { config: 'c.json', tags: ['app:1', 'registry.example/app:stable'], layers: ['1.tar', 'x/layer.tar'] };

// S96
test('the older form of docker save: layers as they are or packed, links between them, several images', async () => {
  const inner = [file('1.tar', gzipSync(LOWER)), file('2.tar', UPPER), link('x/layer.tar', '../2.tar')];
  const app = [folder('x'), ...inner, dockerConfig('c.json', [LOWER, UPPER])];
  const alone = dockerArchive(dockerManifest(APP), ...app);
  expect(await treeOf(await diskOf({}, alone))).toEqual({ a: 'new' });
  const unpackedTo = temporaryFolder('docker');
  await must('tar', ['-C', unpackedTo, '-xf', alone]);
  expect(await treeOf(await diskOf({ platform: undefined }, unpackedTo))).toEqual({ a: 'new' });
  await expect(diskOf({ platform: 'linux/arm64' }, alone)).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: expect.stringContaining('for linux/amd64 only'),
  });
  const tool = { config: 'd.json', tags: null, layers: ['3.tar'] };
  const both = dockerArchive(dockerManifest(APP, tool), ...app, file('3.tar', OTHER), dockerConfig('d.json', [OTHER]));
  await expect(diskOf({}, both)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('several images: app:1, d; choose one by --reference'),
  });
  await expect(diskOf({ reference: 'tool' }, both)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  for (const reference of ['app:1', 'app:stable', 'c'])
    expect(await treeOf(await diskOf({ reference }, both))).toEqual({ a: 'new' });
  expect(await treeOf(await diskOf({ reference: 'd' }, both))).toEqual({ c: 'c' });
});

// S96
test('an archive of docker that is not what it says is refused', async () => {
  const image = { ...APP, layers: ['1.tar'] };
  const config = dockerConfig('c.json', [LOWER]);
  const cases: readonly (readonly [words: string, ...entries: Entry[]])[] = [
    ['layer 1 of 1 of .* its sha256 is', dockerManifest(image), config, file('1.tar', OTHER)],
    ['lacks 1.tar', dockerManifest(image), config],
    ['lacks c.json', dockerManifest(image), file('1.tar', LOWER)],
    ['no JSON document', dockerManifest(image), file('c.json', '{'), file('1.tar', LOWER)],
    [
      '1 layers, and its configuration knows of 2',
      dockerManifest(image),
      dockerConfig('c.json', [LOWER, UPPER]),
      file('1.tar', LOWER),
    ],
    ['a link out of it at 1.tar', dockerManifest(image), config, link('1.tar', '/etc/passwd')],
    [
      'a link out of it at .*/etc/passwd',
      dockerManifest({ ...image, layers: [`${'../'.repeat(20)}etc/passwd`] }),
      config,
    ],
    ['no file at 1.tar', dockerManifest(image), config, folder('1.tar')],
  ];
  for (const [words, ...entries] of cases) {
    await expect(diskOf({ platform: undefined }, dockerArchive(...entries))).rejects.toMatchObject({
      code: 'DAMAGED',
      message: expect.stringMatching(words),
    });
    await expectNothingLeft();
  }
});

test('a tree with a manifest.json of its own is a tree', async () => {
  for (const content of ['[{"name":"an app of the web"}]', 'no JSON', '']) {
    const archive = dockerArchive(file('manifest.json', content));
    expect(await treeOf(await diskOf({ platform: undefined }, archive))).toEqual({ 'manifest.json': content });
  }
});

test('the names of a layer take bounded memory', async () => {
  const members = new Members('layer 1 of 1', 1_000);
  for (const name of ['a', 'b', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a'])
    members.onMember(name);
  members.onLooseLink({ path: 'c', target: 'n'.repeat(800) });
  expect(() => {
    members.onMember('d');
  }).toThrow(/more names than an import can hold/);
  const long = tarOf({ ...file('a'), path: 'p'.repeat(10_000_000) });
  layout.top(layout.manifest([await layout.layer(long)]));
  await refused('DAMAGED', 'too long for a file');
});

test('a layout tells how far it has come, in bytes of its packed layers', async () => {
  const layers = await layersOf([file('a', 'x'.repeat(3e6))], [file('b')]);
  layout.top(layout.manifest(layers));
  const told: Intake[] = [];
  await diskOf({ onProgress: ({ intake }) => intake !== null && told.push(intake) });
  const totalBytes = layers[0]!.size + layers[1]!.size;
  expect(told.map(({ doneBytes }) => doneBytes)).toEqual(
    expect.arrayContaining([1048576, layers[0]!.size, totalBytes]),
  );
  expect(new Set(told.map((intake) => intake.totalBytes))).toEqual(new Set([totalBytes]));
});

// S96
test.each([
  ['linux/arm', ['linux/arm/v6', 'linux/arm/v7', 'linux/arm64/v8'], 1],
  ['linux/arm/v6', ['linux/arm/v7', 'linux/arm/v6'], 1],
  ['linux/arm64', ['linux/arm64/v9', 'linux/arm64/v8'], 1],
  ['linux/arm64/v8', ['linux/arm64/v9', 'linux/arm64'], 1],
  ['linux/amd64', ['windows/amd64', 'linux/amd64/v3', 'linux/amd64'], 2],
  ['linux/amd64', ['linux/amd64/v3', 'linux/amd64/v2'], 0],
  ['linux/386', ['unknown/unknown', 'linux/386', 'linux/386'], 1],
])('%s of %j is number %i', (wanted, platforms, expected) => {
  const all = platforms.map((text) => {
    const [os, architecture, variant] = text.split('/') as [string, string, string?];
    return { mediaType: 'x', digest: 'x', size: 1, platform: { os, architecture, variant } };
  });
  expect(choosePlatform(all, wantedPlatform(wanted), 'layout')).toBe(all[expected]);
});

// S96
test('this machine is called as the standard calls it', () => {
  const names = ['x64', 'arm64', 'arm', 'ia32', 'ppc64', 's390x', 'riscv64'].map(
    (machine) => wantedPlatform(undefined, machine).platform.architecture,
  );
  expect(names).toEqual(['amd64', 'arm64', 'arm', '386', 'ppc64le', 's390x', 'riscv64']);
});
