/**
 * Images of containers as real tools write them: umoci, skopeo and buildah make them here, without a network. What comes out is compared
 * with what umoci unpacks from the same image.
 */
import { beforeEach, expect, test } from '@jest/globals';
import { chmodSync, chownSync, linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportImage } from '../../lib/repository/export.js';
import { importImage, type ImportOptions } from '../../lib/repository/import.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { must } from '../helpers/processes.js';
import { expectSameTree, withMounted } from '../helpers/same-trees.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { createWorld } from '../repository/worlds.js';

cleanUpAfter('each');

let place: string;
let layout: string;
beforeEach(() => {
  place = temporaryFolder('oci-tools');
  layout = join(place, 'layout');
});

/** Imports, and gives the file system that came out, in order for e2fsck. */
async function diskOf(path: string, options: Partial<ImportOptions> = {}): Promise<string> {
  const world = await createWorld();
  await importImage(world.repository, { source: { kind: 'file', path }, image: 'app', ...options });
  const raw = join(place, 'out.raw');
  await exportImage(world.repository, { image: 'app', target: { kind: 'file', path: raw, force: true } });
  await must('e2fsck', ['-fn', raw]);
  return raw;
}

/** What the kernel sees in the import of `path` is what umoci makes of `image`. */
async function expectAsUnpacked(path: string, image: string, options: Partial<ImportOptions> = {}): Promise<void> {
  const raw = await diskOf(path, options);
  const bundle = join(place, 'bundle');
  rmSync(bundle, { recursive: true, force: true });
  await must('umoci', ['unpack', '--image', image, bundle]);
  await withMounted(raw, (found) => expectSameTree(found, join(bundle, 'rootfs')));
}

const CAPABILITY = '0100000200200000000000000000000000000000';
const setAttribute = (path: string, name: string, hex: string): Promise<string> =>
  must('python3', ['-c', `import os; os.setxattr(${JSON.stringify(path)}, "${name}", bytes.fromhex("${hex}"))`]);

/** Everything that a file system of Linux can hold, more or less. */
async function makeRoot(root: string): Promise<void> {
  const at = (path: string): string => join(root, path);
  for (const folder of ['usr/bin', 'usr/lib', 'var/cache', 'srv/old', 'caf\u00e9 \\ \n']) {
    mkdirSync(at(folder), { recursive: true });
  }
  await must('cp', ['-a', '/etc', at('etc')]);
  writeFileSync(at('usr/bin/tool'), 'tool');
  linkSync(at('usr/bin/tool'), at('usr/bin/twin'));
  chmodSync(at('usr/bin/tool'), 0o4755);
  writeFileSync(at('usr/bin/ping'), 'ping');
  chownSync(at('usr/bin/ping'), 12, 34);
  await setAttribute(at('usr/bin/ping'), 'security.capability', CAPABILITY);
  await setAttribute(at('usr/lib'), 'user.colour', '677265656e');
  symlinkSync('usr/bin', at('bin'));
  symlinkSync('/nowhere', at('broken'));
  await must('mknod', [at('null'), 'c', '1', '3']);
  await must('mknod', [at('disk'), 'b', '259', '70000']);
  await must('mkfifo', [at('pipe')]);
  chmodSync(at('var/cache'), 0o1777);
  chownSync(at('var/cache'), 100_000, 3_000_000);
  writeFileSync(at('srv/old/a'), 'a');
  writeFileSync(at('srv/b'), Buffer.alloc(3_000_000, 'b'));
}

/** `app:base` and, two layers over it, `app:next`. */
async function makeImages(): Promise<void> {
  const root = join(place, 'root');
  await makeRoot(root);
  await must('umoci', ['init', '--layout', layout]);
  await must('umoci', ['new', '--image', `${layout}:base`]);
  await must('umoci', ['insert', '--image', `${layout}:base`, root, '/']);
  const bundle = join(place, 'work');
  await must('umoci', ['unpack', '--image', `${layout}:base`, bundle]);
  const at = (path: string): string => join(bundle, 'rootfs', path);
  rmSync(at('srv/old'), { recursive: true });
  rmSync(at('srv/b'));
  mkdirSync(at('srv/b'));
  writeFileSync(at('srv/b/new'), 'new');
  linkSync(at('usr/bin/tool'), at('usr/third'));
  chmodSync(at('usr/lib'), 0o711);
  writeFileSync(at('bin/more'), 'more');
  rmSync(at('broken'));
  await must('umoci', ['repack', '--image', `${layout}:next`, bundle]);
  const more = join(place, 'more');
  mkdirSync(more);
  writeFileSync(join(more, 'only'), 'only');
  await must('umoci', ['insert', '--opaque', '--image', `${layout}:next`, more, '/var/cache']);
  await must('umoci', ['insert', '--whiteout', '--image', `${layout}:next`, '/etc/hostname']);
}

// S96
test('an image of umoci is what umoci unpacks; skopeo copies it into a folder, a tar, or with layers by zstd', async () => {
  await makeImages();
  const next = `${layout}:next`;
  await expect(diskOf(layout)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('base, next') });
  await expectAsUnpacked(layout, next, { reference: 'next' });
  await expectAsUnpacked(layout, `${layout}:base`, { reference: 'base' });
  const copy = (to: string, ...more: string[]): Promise<string> =>
    must('skopeo', ['--insecure-policy', 'copy', ...more, `oci:${next}`, to]);
  const archive = join(place, 'app.tar');
  await copy(`oci-archive:${archive}:next`);
  await expectAsUnpacked(archive, next);
  const zstd = join(place, 'zstd');
  await copy(`oci:${zstd}:next`, '--dest-compress-format', 'zstd');
  const [, digest] = /sha256:([0-9a-f]+)/.exec(readFileSync(join(zstd, 'index.json'), 'utf8'))!;
  expect(readFileSync(join(zstd, 'blobs/sha256', digest!), 'utf8')).toContain('layer.v1.tar+zstd');
  await expectAsUnpacked(zstd, next);
});

// S96
test('an archive that skopeo writes in the older form of Docker is what umoci unpacks of the layout', async () => {
  const image = `${layout}:app`;
  await must('umoci', ['init', '--layout', layout]);
  await must('umoci', ['new', '--image', image]);
  for (const content of ['old', 'new']) {
    const root = join(place, content);
    mkdirSync(join(root, 'srv'), { recursive: true });
    for (const name of ['a', 'b', content]) writeFileSync(join(root, 'srv', name), content);
    await must('umoci', ['insert', '--image', image, root, '/']);
  }
  await must('umoci', ['insert', '--whiteout', '--image', image, '/srv/b']);
  const archive = join(place, 'app.tar');
  const to = `docker-archive:${archive}:app:1`;
  await must('skopeo', ['--insecure-policy', 'copy', `oci:${image}`, to]);
  await expectAsUnpacked(archive, image, { reference: 'app:1' });
});

// S96
test('an image of buildah, whose layers are those of overlayfs, and a list of it for two machines', async () => {
  const buildah = async (...args: string[]): Promise<string> => {
    const store = ['--root', join(place, 'store'), '--runroot', join(place, 'run'), '--storage-driver', 'vfs'];
    return (await must('buildah', [...store, ...args])).trim();
  };
  const make = async (from: string, build: (root: string) => void): Promise<string> => {
    const container = await buildah('from', '--pull-never', from);
    build(await buildah('mount', container));
    await buildah('umount', container);
    return container;
  };
  const first = await make('scratch', (root) => {
    mkdirSync(join(root, 'd'));
    writeFileSync(join(root, 'd/old'), 'old');
    writeFileSync(join(root, 'a'), 'a');
  });
  await buildah('commit', '--quiet', first, 'one');
  for (const machine of ['amd64', 'arm64']) {
    const container = await make('localhost/one', (root) => {
      rmSync(join(root, 'd'), { recursive: true });
      mkdirSync(join(root, 'd'));
      writeFileSync(join(root, 'd/machine'), machine);
      linkSync(join(root, 'a'), join(root, 'twin'));
    });
    await buildah('config', '--arch', machine, container);
    await buildah('commit', '--quiet', '--manifest', 'list', container);
    if (machine === 'arm64') await buildah('commit', '--quiet', container, `oci:${layout}:arm`);
  }
  await expectAsUnpacked(layout, `${layout}:arm`, { platform: 'linux/arm64' });
  const both = join(place, 'both');
  await buildah('manifest', 'push', '--quiet', '--all', 'list', `oci:${both}:app`);
  const machineOf = async (platform?: string): Promise<string> =>
    must('debugfs', ['-R', 'cat /d/machine', await diskOf(both, { platform })]);
  expect(await machineOf('linux/amd64')).toBe('amd64');
  expect(await machineOf('linux/arm64')).toBe('arm64');
  expect(await machineOf()).toBe({ x64: 'amd64', arm64: 'arm64' }[process.arch as string]);
});
