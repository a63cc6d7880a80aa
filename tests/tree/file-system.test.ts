import { describe, expect, test } from '@jest/globals';
import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { LazydiskError } from '../../lib/util/errors.js';
import { ROOT_NODE, type Attributes } from '../../mount/fuse/file-system.js';
import { FakeCatalogue } from '../helpers/fake-catalogue.js';
import { caller, errnoOf, GID, treeFixture, UID, type TreeFixture } from '../helpers/tree-fixture.js';

const READ = { write: false, truncate: false };
const WRITE = { write: true, truncate: false };

async function withImage(options: Parameters<typeof treeFixture>[0] = {}): Promise<TreeFixture> {
  const fixture = await treeFixture(options);
  fixture.catalogue.image('vm').publish(Buffer.concat([Buffer.from('boot'), Buffer.alloc(8188), Buffer.from('end')]));
  return fixture;
}

const names = async (fixture: TreeFixture, path: string): Promise<string[]> =>
  (await fixture.fileSystem.readDirectory(await fixture.node(path), caller())).map((entry) => entry.name);

describe('the tree', () => {
  // S1: what the mount shows.
  test('the root lists control, status and one folder per image', async () => {
    const fixture = await withImage();
    fixture.catalogue.image('another');
    expect(await names(fixture, '')).toEqual(['control', 'status', 'another', 'vm']);
  });

  test('a folder lists living snapshots in order, the newest as latest.raw, and the head', async () => {
    const fixture = await withImage();
    const image = fixture.catalogue.image('vm');
    for (let number = 2; number <= 11; number++) image.publish(Buffer.from(`boot ${number}`));
    image.published.delete(3);
    const shown = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11].map((number) => `${number}.raw`);
    expect(await names(fixture, 'vm')).toEqual(['control', 'status', ...shown, 'latest.raw', 'disk.raw']);
    const latest = await fixture.stat('vm/latest.raw');
    expect(latest).toMatchObject({ kind: 'symlink', sizeBytes: '11.raw'.length });
    expect(await fixture.fileSystem.readLink(latest.node, caller())).toBe('11.raw');
  });

  // S59
  test('each tag is a link to its snapshot, read anew each time, and commands take it', async () => {
    const fixture = await withImage();
    const image = fixture.catalogue.image('vm');
    image.publish(Buffer.from('second'));
    image.tagNumbers.set('stable', 1);
    image.tagNumbers.set('0.9', 2);
    expect(await names(fixture, 'vm')).toEqual([
      'control',
      'status',
      '1.raw',
      '2.raw',
      'latest.raw',
      '0.9.raw',
      'stable.raw',
      'disk.raw',
    ]);
    const { node, kind } = await fixture.stat('vm/stable.raw');
    expect(kind).toBe('symlink');
    expect(await fixture.fileSystem.readLink(node, caller())).toBe('1.raw');
    image.tagNumbers.set('stable', 2);
    expect(await fixture.fileSystem.readLink(node, caller())).toBe('2.raw');
    await fixture.echo('vm/control', 'clone copy :0.9\n');
    expect(fixture.catalogue.images.get('copy')?.published.get(1)?.bytes.toString()).toBe('second');
    image.tagNumbers.delete('stable');
    expect(await errnoOf(fixture.stat('vm/stable.raw'))).toBe('ENOENT');
    expect(await errnoOf(fixture.echo('vm/control', 'clone other :stable\n'))).toBe('ENOENT');
  });

  test('every listed entry has the node that looking it up gives, and the same kind', async () => {
    const fixture = await withImage();
    for (const path of ['', 'vm']) {
      for (const entry of await fixture.fileSystem.readDirectory(await fixture.node(path), caller())) {
        const found = await fixture.stat(`${path}/${entry.name}`);
        expect({ node: found.node, kind: found.kind }).toEqual({ node: entry.node, kind: entry.kind });
      }
    }
  });

  test.each(['vm/01.raw', 'vm/0.raw', 'vm/2.raw', 'vm/1.RAW', 'vm/123456789.raw', 'vm/x', 'nobody', '.Trash-0'])(
    '%s is not there',
    async (path) => expect(await errnoOf((await withImage()).stat(path))).toBe('ENOENT'),
  );

  test('names that no image can have do not reach the catalogue', async () => {
    const fixture = await withImage();
    const before = fixture.catalogue.counts.finds;
    for (const name of ['.git', 'metrics', 'a b', '-x']) await errnoOf(fixture.stat(name));
    expect(fixture.catalogue.counts.finds).toBe(before);
  });

  test('an image that can not be looked up now is listed all the same', async () => {
    const fixture = await withImage();
    fixture.catalogue.image('broken');
    fixture.catalogue.unreachable.add('broken');
    expect(await names(fixture, '')).toEqual(['control', 'status', 'broken', 'vm']);
    expect(await errnoOf(fixture.stat('broken'))).toBe('EIO');
    expect(await errnoOf(fixture.stat('vm'))).toBe('ok');
  });

  // S10: owners and modes.
  test('modes are those of the kinds, less the mask, and everything belongs to the mounting user', async () => {
    const modes = async (umask: number): Promise<string[]> => {
      const fixture = await withImage({ umask });
      const paths = [
        '',
        'vm',
        'vm/1.raw',
        'vm/disk.raw',
        'vm/control',
        'vm/status',
        'control',
        'status',
        'vm/latest.raw',
      ];
      const all = await Promise.all(paths.map((path) => fixture.stat(path)));
      for (const attributes of all) expect(attributes).toMatchObject({ uid: UID, gid: GID, links: 1 });
      return all.map((attributes) => attributes.mode.toString(8));
    };
    expect(await modes(0)).toEqual(['751', '751', '440', '660', '600', '440', '600', '440', '777']);
    expect(await modes(0o077)).toEqual(['700', '700', '400', '600', '600', '400', '600', '400', '777']);
  });

  // S12, S13: times and space.
  test('a snapshot shows the time of its record, and a folder that of its newest snapshot', async () => {
    const fixture = await withImage();
    const image = fixture.catalogue.image('vm');
    const { info } = image.published.get(1)!;
    expect(await fixture.stat('vm/1.raw')).toMatchObject({
      sizeBytes: 8195,
      allocatedBytes: info.allocatedBytes,
      mtimeMs: info.timeMs,
      ctimeMs: info.timeMs,
    });
    image.publish(Buffer.from('two'));
    expect((await fixture.stat('vm')).mtimeMs).toBe(image.published.get(2)!.info.timeMs);
  });

  test('statfs answers from the local file system', async () => {
    const { fileSystem } = await withImage();
    const statistics = await fileSystem.statistics();
    expect(statistics.totalBytes).toBeGreaterThan(statistics.freeBytes);
    expect(statistics).toMatchObject({ nameMax: 255 });
    const { files, ffree } = await statfs(tmpdir());
    expect(statistics.files).toBe(files);
    expect(Math.abs(statistics.freeFiles - ffree)).toBeLessThan(100_000);
  });
});

describe('reading', () => {
  test('a snapshot is read whole, in pieces and past its end', async () => {
    const { fileSystem, node } = await withImage();
    const file = await node('vm/1.raw');
    const { handle } = await fileSystem.open(file, READ, caller());
    const text = async (offset: number, length: number): Promise<string> =>
      Buffer.from(await fileSystem.read(file, handle, offset, length, caller())).toString();
    expect(await text(0, 4)).toBe('boot');
    expect(await text(8192, 4096)).toBe('end');
    expect(await text(8195, 10)).toBe('');
    expect(await text(1e9, 10)).toBe('');
  });

  // S16: holes.
  test('SEEK tells data from holes, the end counts as a hole, and ENXIO is at or past the end', async () => {
    const { fileSystem, node } = await withImage();
    for (const path of ['vm/1.raw', 'vm/disk.raw']) {
      const file = await node(path);
      expect(await fileSystem.seek(file, 1, 'data', caller())).toBe(1);
      expect(await fileSystem.seek(file, 1, 'hole', caller())).toBe(4096);
      expect(await fileSystem.seek(file, 4096, 'data', caller())).toBe(8192);
      expect(await fileSystem.seek(file, 8192, 'hole', caller())).toBe(8195);
      expect(await errnoOf(fileSystem.seek(file, 8195, 'hole', caller()))).toBe('ENXIO');
      expect(await errnoOf(fileSystem.seek(file, 8195, 'data', caller()))).toBe('ENXIO');
    }
  });

  test('a disk is shown to workers exactly while it is open', async () => {
    const { fileSystem, node, catalogue } = await withImage();
    for (const path of ['vm/1.raw', 'vm/disk.raw']) {
      const file = await node(path);
      const first = await fileSystem.open(file, READ, caller());
      const second = await fileSystem.open(file, READ, caller());
      expect(catalogue.counts.exposed.get(file)).toBe(2);
      await fileSystem.release(file, first.handle);
      expect(catalogue.counts.exposed.get(file)).toBe(1);
      await fileSystem.release(file, second.handle);
      await fileSystem.release(file, second.handle);
      expect(catalogue.counts.exposed.has(file)).toBe(false);
    }
  });

  test('images may stay in the page cache and need no flush; control and status bypass it', async () => {
    const { fileSystem, node } = await withImage();
    expect(await fileSystem.open(await node('vm/1.raw'), READ, caller())).toMatchObject({
      keepCache: true,
      noFlush: true,
      directIo: false,
    });
    expect(await fileSystem.open(await node('vm/disk.raw'), WRITE, caller())).toMatchObject({
      keepCache: true,
      noFlush: true,
      directIo: false,
      handle: 1,
    });
    expect(await fileSystem.open(await node('vm/control'), WRITE, caller())).toMatchObject({
      noFlush: false,
      directIo: true,
    });
    expect(await fileSystem.open(await node('vm/status'), READ, caller())).toMatchObject({ directIo: true });
  });

  // S15: what is local goes on.
  test('open disks are read, written and asked for attributes without the catalogue', async () => {
    const { fileSystem, node, catalogue } = await withImage();
    const snapshot = await node('vm/1.raw');
    const head = await node('vm/disk.raw');
    const before = await Promise.all([snapshot, head].map((file) => fileSystem.getAttributes(file, caller())));
    await fileSystem.open(snapshot, READ, caller());
    await fileSystem.open(head, WRITE, caller());
    catalogue.unreachable.add('vm');
    const finds = catalogue.counts.finds;
    const during = await Promise.all([snapshot, head].map((file) => fileSystem.getAttributes(file, caller())));
    const shown = ({ node: shownNode, sizeBytes, mtimeMs }: Attributes): unknown => ({ shownNode, sizeBytes, mtimeMs });
    expect(during.map(shown)).toEqual(before.map(shown));
    expect(await fileSystem.read(snapshot, 0, 0, 4, caller())).toHaveLength(4);
    await fileSystem.write(head, 1, 0, Buffer.from('local'), caller());
    await fileSystem.fsync(head, 1, caller());
    expect(await fileSystem.seek(head, 0, 'hole', caller())).toBe(4096);
    await fileSystem.allocate(head, 'punch-hole', 0, 4096, caller());
    expect(catalogue.counts.finds).toBe(finds);
    expect(await errnoOf(fileSystem.open(snapshot, READ, caller()))).toBe('EIO');
  });

  test('a caller that is being killed gets EINTR', async () => {
    const { fileSystem, node } = await withImage();
    const file = await node('vm/1.raw');
    const { handle } = await fileSystem.open(file, READ, caller());
    expect(await errnoOf(fileSystem.read(file, handle, 0, 4, caller(AbortSignal.abort())))).toBe('EINTR');
  });
});

describe('writing', () => {
  const openHead = async (fixture: TreeFixture): Promise<{ file: number; handle: number }> => {
    const file = await fixture.node('vm/disk.raw');
    return { file, handle: (await fixture.fileSystem.open(file, WRITE, caller())).handle };
  };

  test('what is written to the head is read from it, and the snapshot stays as it was', async () => {
    const fixture = await withImage();
    const { fileSystem } = fixture;
    const { file, handle } = await openHead(fixture);
    await fileSystem.write(file, handle, 2, Buffer.from('XY'), caller());
    await fileSystem.fsync(file, handle, caller());
    expect(Buffer.from(await fileSystem.read(file, handle, 0, 6, caller())).toString()).toBe('boXY\0\0');
    expect(fixture.catalogue.image('vm').currentHead!.syncs).toBe(1);
    const snapshot = await fixture.node('vm/1.raw');
    expect(Buffer.from(await fileSystem.read(snapshot, 0, 0, 4, caller())).toString()).toBe('boot');
  });

  // S17: who may write.
  test('opening for writing takes the lock, opening for reading does not, and a lock of another host is EBUSY', async () => {
    const fixture = await withImage();
    const image = fixture.catalogue.image('vm');
    const file = await fixture.node('vm/disk.raw');
    await fixture.fileSystem.open(file, READ, caller());
    expect(image.lockedBy).toBe('nobody');
    image.lockedBy = 'other';
    expect(await errnoOf(fixture.fileSystem.open(file, WRITE, caller()))).toBe('EBUSY');
    expect(await errnoOf(fixture.fileSystem.setAttributes(file, { sizeBytes: 0 }, caller()))).toBe('EBUSY');
    expect(image.currentHead).toMatchObject({ openCount: 1, writers: 0 });
    image.lockedBy = 'nobody';
    await fixture.fileSystem.open(file, WRITE, caller());
    expect(image.lockedBy).toBe('us');
    expect(image.currentHead).toMatchObject({ openCount: 2, writers: 1 });
  });

  // S18: the base moves only under a clean, unwritten head.
  test('an open that finds a newer snapshot is ESTALE, and looking disk.raw up again shows the new content under a new node', async () => {
    const fixture = await withImage();
    const before = await fixture.node('vm/disk.raw');
    fixture.catalogue.image('vm').publish(Buffer.from('newer'));
    expect(await errnoOf(fixture.fileSystem.open(before, WRITE, caller()))).toBe('ESTALE');
    const after = await fixture.stat('vm/disk.raw');
    expect(after.node).not.toBe(before);
    expect(after.sizeBytes).toBe(5);
    expect(await errnoOf(fixture.fileSystem.open(after.node, WRITE, caller()))).toBe('ok');
    expect(await errnoOf(fixture.fileSystem.getAttributes(before, caller()))).toBe('ESTALE');
  });

  // S23: size.
  test('truncate by path grows and shrinks without leaving the head open', async () => {
    const fixture = await withImage();
    const file = await fixture.node('vm/disk.raw');
    expect((await fixture.fileSystem.setAttributes(file, { sizeBytes: 2 }, caller())).sizeBytes).toBe(2);
    expect((await fixture.fileSystem.setAttributes(file, { sizeBytes: 6 }, caller())).sizeBytes).toBe(6);
    expect(fixture.catalogue.image('vm').currentHead!.bytes.toString()).toBe('bo\0\0\0\0');
    expect(fixture.catalogue.image('vm').currentHead).toMatchObject({ openCount: 0, writers: 0 });
    const tooLarge = 8 * 1024 ** 4 + 1;
    expect(await errnoOf(fixture.fileSystem.setAttributes(file, { sizeBytes: tooLarge }, caller()))).toBe('EFBIG');
    const { handle } = await openHead(fixture);
    expect(await errnoOf(fixture.fileSystem.write(file, handle, tooLarge - 2, Buffer.from('abc'), caller()))).toBe(
      'EFBIG',
    );
    expect(await errnoOf(fixture.fileSystem.allocate(file, 'allocate', tooLarge, 1, caller()))).toBe('EFBIG');
  });

  // S24, S25: discard and allocate.
  test('punch and zero make zeros, allocate grows, and only those without keep-size change the size', async () => {
    const fixture = await withImage();
    const { fileSystem } = fixture;
    const { file } = await openHead(fixture);
    const head = fixture.catalogue.image('vm').currentHead!;
    await fileSystem.allocate(file, 'punch-hole', 0, 4096, caller());
    expect(head.bytes.subarray(0, 4).toString()).toBe('\0\0\0\0');
    await fileSystem.allocate(file, 'punch-hole', 8192, 100_000, caller());
    await fileSystem.allocate(file, 'zero-range-keep-size', 8192, 100_000, caller());
    await fileSystem.allocate(file, 'allocate-keep-size', 8192, 100_000, caller());
    expect(head.sizeBytes()).toBe(8195);
    await fileSystem.allocate(file, 'allocate', 0, 9000, caller());
    expect(head.sizeBytes()).toBe(9000);
    await fileSystem.allocate(file, 'allocate', 0, 10, caller());
    await fileSystem.allocate(file, 'zero-range', 9000, 1000, caller());
    expect(head.sizeBytes()).toBe(10_000);
  });

  test('a write through a descriptor that was opened for reading is EBADF', async () => {
    const fixture = await withImage();
    const file = await fixture.node('vm/disk.raw');
    const { handle } = await fixture.fileSystem.open(file, READ, caller());
    expect(await errnoOf(fixture.fileSystem.write(file, handle, 0, Buffer.from('x'), caller()))).toBe('EBADF');
  });

  test('an open that fails half way leaves nothing open', async () => {
    const fixture = await withImage();
    const head = (await fixture.catalogue.image('vm').head())!;
    const file = await fixture.node('vm/disk.raw');
    head.expose = () => Promise.reject(new LazydiskError('IO', 'no'));
    expect(await errnoOf(fixture.fileSystem.open(file, WRITE, caller()))).toBe('EIO');
    expect(head).toMatchObject({ openCount: 0, writers: 0 });
  });

  // S11: owners of heads.
  test('chown, chmod and utimes are kept by the head, one at a time, and a later write moves the time on', async () => {
    const fixture = await withImage();
    const { fileSystem, stat } = fixture;
    const { file, handle } = await openHead(fixture);
    await fileSystem.setAttributes(file, { uid: 64, gid: 65 }, caller());
    await fileSystem.setAttributes(file, { mode: 0o4600 }, caller());
    await fileSystem.setAttributes(file, { mtimeMs: 1000, atimeMs: 2000 }, caller());
    expect(await stat('vm/disk.raw')).toMatchObject({ uid: 64, gid: 65, mode: 0o600, mtimeMs: 1000, atimeMs: 2000 });
    await fileSystem.write(file, handle, 0, Buffer.from('x'), caller());
    const head = fixture.catalogue.image('vm').currentHead!;
    expect(await stat('vm/disk.raw')).toMatchObject({
      uid: 64,
      mode: 0o600,
      mtimeMs: head.modifiedMs(),
      atimeMs: 2000,
    });
    const remounted = await treeFixture(fixture);
    expect(await remounted.stat('vm/disk.raw')).toMatchObject({
      uid: 64,
      gid: 65,
      mode: 0o600,
      mtimeMs: head.modifiedMs(),
    });
  });
});

describe('new images', () => {
  // S7: mkdir and disk.raw.
  test('mkdir, disk.raw and a commit make an image with a snapshot', async () => {
    const fixture = await treeFixture();
    const { fileSystem, catalogue } = fixture;
    const folder = await fileSystem.makeDirectory(ROOT_NODE, 'new', 0o777, caller());
    expect(folder).toMatchObject({ kind: 'directory', mode: 0o751 });
    expect(catalogue.image('new').lockedBy).toBe('us');
    expect(await names(fixture, 'new')).toEqual(['control', 'status']);
    expect(await errnoOf(fixture.stat('new/disk.raw'))).toBe('ENOENT');
    const made = await fileSystem.create(folder.node, 'disk.raw', 0o644, WRITE, caller());
    expect(made.attributes).toMatchObject({ mode: 0o660, uid: UID, sizeBytes: 0 });
    await fileSystem.write(made.attributes.node, made.opened.handle, 0, Buffer.from('hello'), caller());
    await fileSystem.release(made.attributes.node, made.opened.handle);
    await fixture.echo('new/control', 'commit\n');
    expect(await names(fixture, 'new')).toEqual(['control', 'status', '1.raw', 'latest.raw', 'disk.raw']);
    // S31: the head keeps its inode number over its own commits.
    expect(await fixture.node('new/disk.raw')).toBe(made.attributes.node);
  });

  test('wrong names are EINVAL, taken ones EEXIST', async () => {
    const { fileSystem } = await withImage();
    const mkdir = (name: string): Promise<string> =>
      errnoOf(fileSystem.makeDirectory(ROOT_NODE, name, 0o755, caller()));
    expect(await mkdir('.hidden')).toBe('EINVAL');
    expect(await mkdir('vm')).toBe('EEXIST');
    expect(await mkdir('control')).toBe('EEXIST');
    expect(await mkdir('status')).toBe('EEXIST');
  });

  // S8: rmdir.
  test('rmdir removes an image that was never committed and holds nothing, and no other', async () => {
    const { fileSystem, catalogue, node } = await withImage();
    const rmdir = (name: string): Promise<string> => errnoOf(fileSystem.removeDirectory(ROOT_NODE, name, caller()));
    expect(await rmdir('vm')).toBe('EPERM');
    const folder = await fileSystem.makeDirectory(ROOT_NODE, 'new', 0o755, caller());
    const made = await fileSystem.create(folder.node, 'disk.raw', 0o644, WRITE, caller());
    expect(await rmdir('new')).toBe('EBUSY');
    await fileSystem.write(made.attributes.node, 1, 0, Buffer.from('x'), caller());
    await fileSystem.release(made.attributes.node, 1);
    expect(await rmdir('new')).toBe('ENOTEMPTY');
    await catalogue.image('new').revert();
    expect(await rmdir('new')).toBe('ok');
    expect(await errnoOf(node('new'))).toBe('ENOENT');
    expect(await errnoOf(fileSystem.getAttributes(folder.node, caller()))).toBe('ESTALE');
  });

  test('creating disk.raw a second time is EEXIST', async () => {
    const { fileSystem } = await treeFixture();
    const folder = await fileSystem.makeDirectory(ROOT_NODE, 'new', 0o755, caller());
    await fileSystem.create(folder.node, 'disk.raw', 0o644, WRITE, caller());
    expect(await errnoOf(fileSystem.create(folder.node, 'disk.raw', 0o644, WRITE, caller()))).toBe('EEXIST');
  });
});

// S3: node ids over restarts.
describe('node ids', () => {
  test('requests with the ids and handles of an earlier daemon are served', async () => {
    const earlier = await withImage();
    const snapshot = await earlier.node('vm/1.raw');
    const head = await earlier.node('vm/disk.raw');
    const control = await earlier.node('vm/control');
    await earlier.fileSystem.open(head, WRITE, caller());
    const later = await treeFixture(earlier);
    const { fileSystem } = later;
    expect(Buffer.from(await fileSystem.read(snapshot, 0, 0, 4, caller())).toString()).toBe('boot');
    await fileSystem.write(head, 1, 0, Buffer.from('NEW'), caller());
    expect(Buffer.from(await fileSystem.read(head, 1, 0, 4, caller())).toString()).toBe('NEWt');
    await fileSystem.fsync(head, 1, caller());
    await fileSystem.write(control, 12345, 0, Buffer.from('help\n'), caller());
    expect(await fileSystem.getAttributes(control, caller())).toMatchObject({ mode: 0o600 });
    // An adopted head stays open: nobody knows how many descriptors there are.
    await fileSystem.release(head, 1);
    await fileSystem.release(head, 1);
    await fileSystem.write(head, 1, 0, Buffer.from('STILL'), caller());
    expect(later.catalogue.counts.exposed.get(head)).toBeGreaterThan(0);
  });

  // S21
  test('what an earlier daemon had open is told to the head as no new open', async () => {
    const earlier = await withImage();
    const head = await earlier.node('vm/disk.raw');
    const { fileSystem, catalogue } = await treeFixture(earlier);
    await fileSystem.adopt!(head, 1, 2);
    await fileSystem.open(head, WRITE, caller());
    expect(catalogue.image('vm').currentHead?.openings).toEqual(['earlier', 'earlier', 'new']);
  });

  test('a number that was never given is ESTALE', async () => {
    const { fileSystem } = await withImage();
    expect(await errnoOf(fileSystem.getAttributes(999_999, caller()))).toBe('ESTALE');
    expect(await errnoOf(fileSystem.read(999_999, 0, 0, 1, caller()))).toBe('ESTALE');
    expect(await errnoOf(fileSystem.release(999_999, 0))).toBe('ok');
  });

  test('an image of the same name that was made anew has other nodes, and the old ones are ESTALE', async () => {
    const { fileSystem, catalogue, stat } = await withImage();
    const paths = ['vm', 'vm/1.raw', 'vm/disk.raw', 'vm/latest.raw'];
    const old = await Promise.all(paths.map((path) => stat(path)));
    catalogue.images.delete('vm');
    catalogue.image('vm').publish(Buffer.from('another one'));
    for (const { node } of old) expect(await errnoOf(fileSystem.getAttributes(node, caller()))).toBe('ESTALE');
    const fresh = await Promise.all(paths.map((path) => stat(path)));
    expect(new Set([...old, ...fresh].map(({ node }) => node)).size).toBe(8);
  });

  // S33: revert gives another inode number.
  test('after a revert the old node of disk.raw is ESTALE and the new one shows the base', async () => {
    const fixture = await withImage();
    const { fileSystem } = fixture;
    const before = await fixture.node('vm/disk.raw');
    const { handle } = await fileSystem.open(before, WRITE, caller());
    await fileSystem.write(before, handle, 0, Buffer.from('junk'), caller());
    expect(await errnoOf(fixture.echo('vm/control', 'revert\n'))).toBe('EBUSY');
    await fileSystem.release(before, handle);
    await fixture.echo('vm/control', 'revert\n');
    const after = await fixture.node('vm/disk.raw');
    expect(after).not.toBe(before);
    expect(await errnoOf(fileSystem.open(before, READ, caller()))).toBe('ESTALE');
    expect(await errnoOf(fileSystem.read(before, 0, 0, 4, caller()))).toBe('ESTALE');
    expect(Buffer.from(await fileSystem.read(after, 0, 0, 4, caller())).toString()).toBe('boot');
  });

  test('a descriptor whose head moved to another content under it gets ESTALE, never the other bytes', async () => {
    const fixture = await withImage();
    const file = await fixture.node('vm/disk.raw');
    const { handle } = await fixture.fileSystem.open(file, READ, caller());
    fixture.catalogue.image('vm').currentHead!.contentId = 'another';
    expect(await errnoOf(fixture.fileSystem.read(file, handle, 0, 4, caller()))).toBe('ESTALE');
    expect(await errnoOf(fixture.fileSystem.release(file, handle))).toBe('ok');
  });
});

test('a catalogue without images shows a root with control and status', async () => {
  const fixture = await treeFixture({ catalogue: new FakeCatalogue() });
  expect(await names(fixture, '')).toEqual(['control', 'status']);
});
