/**
 * S5: the table of operations, every cell of it, on a writable and (S9) on a read-only mount.
 */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { ROOT_NODE, type FileSystem } from '../../mount/fuse/file-system.js';
import { caller, errnoOf, treeFixture, type TreeFixture } from '../helpers/tree-fixture.js';
import { FakeCatalogue } from '../helpers/fake-catalogue.js';

/** Every kind of node, by a path to one. */
const PATHS = {
  root: '',
  folder: 'vm',
  snapshot: 'vm/1.raw',
  head: 'vm/disk.raw',
  latest: 'vm/latest.raw',
  tag: 'vm/stable.raw',
  control: 'vm/control',
  status: 'vm/status',
  'mount control': 'control',
  'mount status': 'status',
} as const;

type Node = keyof typeof PATHS;
const NODES = Object.keys(PATHS) as Node[];

type Act = (fileSystem: FileSystem, node: number) => Promise<unknown>;

/** Opens as the kernel does before it sends what needs a descriptor; its errno is the answer when it fails. */
const opened =
  (write: boolean, act: (fileSystem: FileSystem, node: number, handle: number) => Promise<unknown>): Act =>
  async (fileSystem, node) => {
    const { handle } = await fileSystem.open(node, { write, truncate: false }, caller());
    try {
      await act(fileSystem, node, handle);
    } finally {
      await fileSystem.release(node, handle);
    }
  };

const OPERATIONS: Record<string, Act> = {
  stat: (fs, node) => fs.getAttributes(node, caller()),
  list: (fs, node) => fs.readDirectory(node, caller()),
  lookup: (fs, node) => fs.lookup(node, 'control', caller()),
  read: opened(false, (fs, node, handle) => fs.read(node, handle, 0, 10, caller())),
  write: opened(true, (fs, node, handle) => fs.write(node, handle, 0, Buffer.from('\n'), caller())),
  'write unopened': (fs, node) => fs.write(node, 1, 0, Buffer.from('\n'), caller()),
  truncate: (fs, node) => fs.setAttributes(node, { sizeBytes: 0 }, caller()),
  'truncate with times': (fs, node) => fs.setAttributes(node, { sizeBytes: 0, mtimeMs: 5 }, caller()),
  punch: (fs, node) => fs.allocate(node, 'punch-hole', 0, 4096, caller()),
  zero: (fs, node) => fs.allocate(node, 'zero-range', 0, 4096, caller()),
  allocate: (fs, node) => fs.allocate(node, 'allocate', 0, 4096, caller()),
  'seek data': (fs, node) => fs.seek(node, 0, 'data', caller()),
  'seek hole': (fs, node) => fs.seek(node, 0, 'hole', caller()),
  chown: (fs, node) => fs.setAttributes(node, { uid: 7 }, caller()),
  chmod: (fs, node) => fs.setAttributes(node, { mode: 0o777 }, caller()),
  utimes: (fs, node) => fs.setAttributes(node, { mtimeMs: 5, atimeMs: 5 }, caller()),
  readlink: (fs, node) => fs.readLink(node, caller()),
  mkdir: (fs, node) => fs.makeDirectory(node, 'fresh', 0o755, caller()),
  create: (fs, node) => fs.create(node, 'fresh', 0o644, { write: true, truncate: false }, caller()),
  'create disk.raw': (fs, node) => fs.create(node, 'disk.raw', 0o644, { write: true, truncate: false }, caller()),
  'make a link': (fs, node) => fs.makeOther(node, 'fresh', caller()),
  'unlink control': (fs, node) => fs.unlink(node, 'control', caller()),
  'unlink nothing': (fs, node) => fs.unlink(node, 'nothing', caller()),
  'rename control': (fs, node) => fs.rename(node, 'control', node, 'other', caller()),
  'rmdir control': (fs, node) => fs.removeDirectory(node, 'control', caller()),
  'rmdir nothing': (fs, node) => fs.removeDirectory(node, 'nothing', caller()),
  fsync: (fs, node) => fs.fsync(node, 0, caller()),
  flush: (fs, node) => fs.flush(node, 0, caller()),
};

/** One row: the answer of each node in the order of NODES; `files` spreads over the kinds that are no folder. */
const row = (root: string, folder: string, ...files: string[]): string[] => {
  const [snapshot, head = snapshot!, latest = snapshot!, control = snapshot!, status = snapshot!] = files;
  return [root, folder, snapshot!, head, latest, latest, control, status, control, status];
};

const WRITABLE: Record<string, string[]> = {
  stat: row('ok', 'ok', 'ok'),
  list: row('ok', 'ok', 'ENOTDIR'),
  lookup: row('ok', 'ok', 'ENOTDIR'),
  read: row('EISDIR', 'EISDIR', 'ok', 'ok', 'ELOOP', 'ok', 'ok'),
  write: row('EISDIR', 'EISDIR', 'EROFS', 'ok', 'ELOOP', 'ok', 'EPERM'),
  'write unopened': row('EISDIR', 'EISDIR', 'EROFS', 'ok', 'ELOOP', 'ok', 'EPERM'),
  truncate: row('EISDIR', 'EISDIR', 'EROFS', 'ok', 'EPERM', 'ok', 'EPERM'),
  'truncate with times': row('EISDIR', 'EISDIR', 'EROFS', 'ok', 'EPERM', 'ok', 'EPERM'),
  punch: row('EISDIR', 'EISDIR', 'EROFS', 'ok', 'EPERM', 'EPERM', 'EPERM'),
  zero: row('EISDIR', 'EISDIR', 'EROFS', 'ok', 'EPERM', 'EPERM', 'EPERM'),
  allocate: row('EISDIR', 'EISDIR', 'EROFS', 'ok', 'EPERM', 'EPERM', 'EPERM'),
  'seek data': row('EISDIR', 'EISDIR', 'ok', 'ok', 'EINVAL', 'ENXIO', 'ENXIO'),
  'seek hole': row('EISDIR', 'EISDIR', 'ok', 'ok', 'EINVAL', 'ENXIO', 'ENXIO'),
  chown: row('EPERM', 'EPERM', 'EROFS', 'ok', 'EPERM', 'EPERM', 'EPERM'),
  chmod: row('EPERM', 'EPERM', 'EROFS', 'ok', 'EPERM', 'EPERM', 'EPERM'),
  utimes: row('EPERM', 'EPERM', 'EROFS', 'ok', 'EPERM', 'EPERM', 'EPERM'),
  readlink: row('EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'ok', 'EINVAL', 'EINVAL'),
  mkdir: row('ok', 'EPERM', 'ENOTDIR'),
  create: row('EPERM', 'EPERM', 'ENOTDIR'),
  'create disk.raw': row('EPERM', 'EEXIST', 'ENOTDIR'),
  'make a link': row('EPERM', 'EPERM', 'ENOTDIR'),
  'unlink control': row('EPERM', 'EPERM', 'ENOTDIR'),
  'unlink nothing': row('ENOENT', 'ENOENT', 'ENOTDIR'),
  'rename control': row('EPERM', 'EPERM', 'ENOTDIR'),
  'rmdir control': row('ENOTDIR', 'ENOTDIR', 'ENOTDIR'),
  'rmdir nothing': row('ENOENT', 'ENOENT', 'ENOTDIR'),
  fsync: row('ok', 'ok', 'ok'),
  flush: row('ok', 'ok', 'ok'),
};

/** What is another answer on a read-only mount. There is no head there. */
const READ_ONLY: Record<string, string[]> = {
  ...WRITABLE,
  write: row('EISDIR', 'EISDIR', 'EROFS', 'EROFS', 'ELOOP', 'EROFS', 'EROFS'),
  'write unopened': row('EISDIR', 'EISDIR', 'EROFS'),
  truncate: row('EISDIR', 'EISDIR', 'EROFS'),
  'truncate with times': row('EISDIR', 'EISDIR', 'EROFS'),
  punch: row('EISDIR', 'EISDIR', 'EROFS'),
  zero: row('EISDIR', 'EISDIR', 'EROFS'),
  allocate: row('EISDIR', 'EISDIR', 'EROFS'),
  chown: row('EROFS', 'EROFS', 'EROFS'),
  chmod: row('EROFS', 'EROFS', 'EROFS'),
  utimes: row('EROFS', 'EROFS', 'EROFS'),
  mkdir: row('EROFS', 'EROFS', 'ENOTDIR'),
  create: row('EROFS', 'EROFS', 'ENOTDIR'),
  'create disk.raw': row('EROFS', 'EROFS', 'ENOTDIR'),
  'make a link': row('EROFS', 'EROFS', 'ENOTDIR'),
  'unlink control': row('EROFS', 'EROFS', 'ENOTDIR'),
  'rename control': row('EROFS', 'EROFS', 'ENOTDIR'),
  'rmdir control': row('EROFS', 'EROFS', 'ENOTDIR'),
  'rmdir nothing': row('EROFS', 'EROFS', 'ENOTDIR'),
};

function cells(table: Record<string, string[]>): [operation: string, node: Node, answer: string][] {
  return Object.keys(OPERATIONS).flatMap((operation) =>
    NODES.map((node, index): [string, Node, string] => [operation, node, table[operation]![index]!]),
  );
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function fixtureWithImage(readOnly: boolean): Promise<TreeFixture> {
  const catalogue = new FakeCatalogue(readOnly);
  const image = catalogue.image('vm');
  image.publish(Buffer.concat([Buffer.from('old'), Buffer.alloc(9000)]));
  image.publish(Buffer.concat([Buffer.from('boot'), Buffer.alloc(9000)]));
  image.tagNumbers.set('stable', 1);
  return treeFixture({ catalogue, readOnly });
}

describe('the table of operations', () => {
  let fixture: TreeFixture;
  const perform = async (operation: string, path: string): Promise<string> =>
    errnoOf(OPERATIONS[operation]!(fixture.fileSystem, await fixture.node(path)));

  describe('on a writable mount', () => {
    beforeEach(async () => {
      fixture = await fixtureWithImage(false);
    });
    test.each(cells(WRITABLE))('%s on %s: %s', async (operation, node, answer) =>
      expect(await perform(operation, PATHS[node])).toBe(answer),
    );
  });

  describe('on a read-only mount', () => {
    beforeEach(async () => {
      fixture = await fixtureWithImage(true);
    });
    test.each(cells(READ_ONLY).filter(([, node]) => node !== 'head'))('%s on %s: %s', async (operation, node, answer) =>
      expect(await perform(operation, PATHS[node])).toBe(answer),
    );

    test('there is no disk.raw', async () => {
      expect(await errnoOf(fixture.stat('vm/disk.raw'))).toBe('ENOENT');
      const listed = await fixture.fileSystem.readDirectory(await fixture.node('vm'), caller());
      expect(listed.map((entry) => entry.name)).not.toContain('disk.raw');
    });
  });

  // S6: rm -rf on the mount leaves every snapshot and every written block as it was.
  test('removing everything, with every way of asking, changes nothing', async () => {
    fixture = await fixtureWithImage(false);
    const { fileSystem, catalogue } = fixture;
    const fresh = await fileSystem.makeDirectory(ROOT_NODE, 'fresh', 0o755, caller());
    const made = await fileSystem.create(fresh.node, 'disk.raw', 0o644, { write: true, truncate: false }, caller());
    await fileSystem.write(made.attributes.node, made.opened.handle, 0, Buffer.from('precious'), caller());
    await fileSystem.release(made.attributes.node, made.opened.handle);
    await catalogue.image('vm').head();
    const held = (): unknown =>
      [...catalogue.images.values()].map((image) => ({
        name: image.name,
        snapshots: [...image.published.values()].map(({ info, bytes }) => [info, digest(bytes)]),
        head: digest(image.currentHead?.bytes ?? Buffer.alloc(0)),
      }));
    const before = held();
    const removeAll = async (folder: number): Promise<void> => {
      for (const entry of await fileSystem.readDirectory(folder, caller())) {
        if (entry.kind === 'directory') await removeAll(entry.node);
        // Some programs go on with rmdir although the folder is not empty.
        expect(await errnoOf(fileSystem.unlink(folder, entry.name, caller()))).toBe('EPERM');
        expect(['EPERM', 'ENOTDIR', 'ENOTEMPTY']).toContain(
          await errnoOf(fileSystem.removeDirectory(folder, entry.name, caller())),
        );
        expect(await errnoOf(fileSystem.rename(folder, entry.name, ROOT_NODE, 'x', caller()))).toBe('EPERM');
      }
    };
    await removeAll(ROOT_NODE);
    expect(held()).toEqual(before);
  });
});
