import { mkdir, mkdtemp, readdir, rename, rm, stat, symlink, utimes, writeFile, readFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { directoryError, linkError } from '../../lib/store/directory-errors.js';
import { DirectoryStore } from '../../lib/store/directory-store.js';
import { objectStoreSuite } from '../suites/object-store.suite.js';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'lazydisk-directory-store-'));
});
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

objectStoreSuite('the directory store', async () => {
  const root = join(scratch, 'suite', 'not made yet');
  return { store: new DirectoryStore(root), other: new DirectoryStore(root) };
});

describe('the directory store', () => {
  let root: string;
  let store: DirectoryStore;
  let count = 0;
  beforeEach(() => {
    count += 1;
    root = join(scratch, `root-${count}`);
    store = new DirectoryStore(root);
  });

  it('tells its location as a URL that has no characters in need of care', () => {
    expect(new DirectoryStore('/a b/c').location).toBe('file:///a%20b/c');
  });

  it('keeps an object as a plain file at its key, and nothing else but an empty temporary directory', async () => {
    await store.put('images/a/1.json', Buffer.from('x'));
    await store.put('images/a/1.json', Buffer.from('y'));
    await store.put('images/a/1.json', Buffer.from('z'), { ifAbsent: true }).catch(() => undefined);
    expect(await readFile(join(root, 'images/a/1.json'), 'utf8')).toBe('y');
    expect((await readdir(root, { recursive: true })).sort()).toEqual([
      '.lazydisk-tmp',
      'images',
      'images/a',
      'images/a/1.json',
    ]);
    expect((await stat(join(root, 'images/a/1.json'))).nlink).toBe(1);
  });

  it('makes nothing when it is only read', async () => {
    await expect(store.get('a')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await store.list('')).toEqual({ objects: [], prefixes: [] });
    await store.delete('a');
    await expect(stat(root)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('ignores what a writer that died has left, and removes it after a day', async () => {
    await store.put('a', Buffer.from('x'));
    const young = `17-${'0'.repeat(24)}`;
    const old = `17-${'1'.repeat(24)}`;
    const foreign = 'thesis.tex';
    const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000);
    for (const name of [young, old, foreign]) {
      const path = join(root, '.lazydisk-tmp', name);
      await writeFile(path, 'half');
      if (name !== young) await utimes(path, twoDaysAgo, twoDaysAgo);
    }

    expect((await store.list('')).objects.map(({ key }) => key)).toEqual(['a']);
    expect((await store.list('', { delimiter: '/' })).prefixes).toEqual([]);
    await new DirectoryStore(root).put('b', Buffer.from('x'));
    // What is there by other hands, or because a link leads elsewhere, stays.
    expect((await readdir(join(root, '.lazydisk-tmp'))).sort()).toEqual([young, foreign]);
  });

  it('does not list empty directories as prefixes, nor files that are no keys', async () => {
    await store.put('a/b', Buffer.from('x'));
    await mkdir(join(root, 'empty/deep/deeper'), { recursive: true });
    await writeFile(join(root, 'a', 'line\nbreak'), 'x');
    expect(await store.list('', { delimiter: '/' })).toEqual({ objects: [], prefixes: ['a/'] });
    expect((await store.list('')).objects.map(({ key }) => key)).toEqual(['a/b']);
  });

  it('leaves no object and no temporary file when a put is aborted before it is published', async () => {
    const controller = new AbortController();
    const put = store.put('a', Buffer.alloc(1_000_000), { signal: controller.signal });
    controller.abort();
    await expect(put).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await store.list('')).toEqual({ objects: [], prefixes: [] });
    expect(await readdir(join(root, '.lazydisk-tmp'))).toEqual([]);
  });

  it('calls a root that was seen and has gone UNREACHABLE, and comes back with it', async () => {
    await store.put('a', Buffer.from('x'));
    await rename(root, `${root}-away`);
    await expect(store.get('a')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(store.list('')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(store.put('b', Buffer.from('x'))).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(store.delete('a')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(stat(root)).rejects.toMatchObject({ code: 'ENOENT' });
    await rename(`${root}-away`, root);
    expect((await store.get('a')).toString()).toBe('x');
  });

  it('refuses a root that is a file', async () => {
    await writeFile(root, 'not a directory');
    for (const call of [
      () => store.get('a'),
      () => store.list(''),
      () => store.put('a', Buffer.from('x')),
      () => store.delete('a'),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'REFUSED', message: expect.stringContaining('is a file') });
    }
  });

  it('refuses a key below another object', async () => {
    await store.put('a', Buffer.from('x'));
    await expect(store.put('a/b', Buffer.from('x'))).rejects.toMatchObject({ code: 'REFUSED' });
    await store.put('c/d', Buffer.from('x'));
    await expect(store.put('c', Buffer.from('x'))).rejects.toMatchObject({ code: 'REFUSED' });
    expect(await readdir(join(root, '.lazydisk-tmp'))).toEqual([]);
  });

  it('follows links, so that segments may lie elsewhere in the file system', async () => {
    await mkdir(`${root}-elsewhere`);
    await mkdir(root);
    await symlink(`${root}-elsewhere`, join(root, 'segments'));
    await store.put('segments/a', Buffer.from('x'));
    expect((await store.get('segments/a')).toString()).toBe('x');
    expect((await store.list('')).objects.map(({ key }) => key)).toEqual(['segments/a']);
  });

  it('does not wait at a pipe that stands where an object should', async () => {
    await store.put('segments/a', Buffer.from('x'));
    execFileSync('mkfifo', [join(root, 'segments/b')]);
    await expect(store.get('segments/b')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect((await store.list('')).objects.map(({ key }) => key)).toEqual(['segments/a']);
  });

  it('calls an object that was cut short by others DAMAGED', async () => {
    await store.put('a', Buffer.alloc(100));
    await writeFile(join(root, 'a'), 'short');
    await expect(store.get('a', { range: { offsetBytes: 0, lengthBytes: 100 } })).rejects.toMatchObject({
      code: 'DAMAGED',
      facts: { key: 'a', sizeBytes: 5 },
    });
  });

  it.each([
    ['EACCES', 'REFUSED'],
    ['EPERM', 'REFUSED'],
    ['EROFS', 'REFUSED'],
    ['ENOSPC', 'NO_SPACE'],
    ['EDQUOT', 'NO_SPACE'],
    ['ESTALE', 'UNREACHABLE'],
    ['EMFILE', 'UNREACHABLE'],
    ['EXDEV', 'REFUSED'],
    ['EIO', 'IO'],
    ['EWHATEVER', 'IO'],
  ])('maps %s to %s, in a sentence that names the place', (errno, code) => {
    const cause = Object.assign(new Error('what libuv says'), { code: errno });
    const error = directoryError(cause, 'file:///dir', 'Writing a');
    expect(error).toMatchObject({ code, cause, facts: { location: 'file:///dir', errno } });
    expect(error.message).toMatch(/^Writing a in file:\/\/\/dir failed: .*\.$/);
  });

  it('maps EPERM of a link to UNSUPPORTED: the file system has no hard links', () => {
    const cause = Object.assign(new Error('link'), { code: 'EPERM' });
    expect(linkError(cause, 'file:///dir', 'Creating a')).toMatchObject({ code: 'UNSUPPORTED' });
  });
});
