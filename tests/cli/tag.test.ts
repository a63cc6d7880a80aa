import { beforeEach, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { copiedFixture, type VerbWorld } from '../helpers/verbs.js';

cleanUpAfter('each');

let world: VerbWorld;
beforeEach(() => {
  world = copiedFixture();
});

// S59
test('a tag is put, moved, listed, and removed', async () => {
  const { url, json, text } = world;
  expect(await text('tag', url, 'debian-12')).toBe('debian-12 has no tags\n');
  expect(await text('tag', url, 'debian-12@2', 'stable')).toBe('debian-12:stable is debian-12@2\n');
  expect(await json('tag', url, 'debian-12', 'testing')).toEqual({
    image: 'debian-12',
    tag: 'testing',
    number: 5,
    before: null,
  });
  expect(await text('tag', url, 'debian-12:testing', 'stable')).toBe(
    'debian-12:stable is debian-12@5, and no longer @2\n',
  );
  expect(await text('tag', url, 'debian-12')).toMatch(
    /^TAG +SNAPSHOT +SINCE\ndebian-12:stable +@5 .*\ndebian-12:testing +@5 .*\n$/,
  );
  expect(await text('list', url, 'debian-12')).toMatch(/TAGS.*\n(.*\n)*debian-12@5 .* stable testing/);
  expect(await text('tag', url, 'debian-12', 'testing', '--delete')).toContain('debian-12:testing is gone');
  expect(await json('tag', url, 'debian-12')).toEqual({
    image: 'debian-12',
    tags: [{ tag: 'stable', number: 5, timeMs: expect.any(Number) }],
  });
});

test('a tag is taken wherever IMAGE@N is', async () => {
  const { url, folder, json, text } = world;
  await text('tag', url, 'debian-12@2', 'stable');
  expect(await json('clone', url, 'debian-12:stable', 'vm-02')).toEqual({
    image: 'vm-02',
    number: 1,
    source: { image: 'debian-12', number: 2 },
  });
  await text('export', url, 'debian-12:stable', join(folder, 'tagged.raw'));
  await text('export', url, 'debian-12@2', join(folder, 'numbered.raw'));
  expect((await readFile(join(folder, 'tagged.raw'))).equals(await readFile(join(folder, 'numbered.raw')))).toBe(true);
});

test('a tagged snapshot is deleted with --untag only, and nothing is deleted when one of many is tagged', async () => {
  const { url, run, json } = world;
  await run('tag', url, 'debian-12@2', 'stable');
  const refused = await run('delete', url, 'debian-12@1..4', '--yes');
  expect(refused).toMatchObject({ status: 4, out: '' });
  expect(refused.err).toBe(
    'lazydisk: debian-12@2 is tagged (debian-12:stable): move the tag with `lazydisk tag`, or delete with --untag.\n',
  );
  expect((await (await world.repository()).listImage('debian-12')).snapshots.map(({ number }) => number)).toEqual([
    1, 2, 4, 5,
  ]);
  expect(await json('delete', url, 'debian-12@1..4', '--yes', '--untag')).toEqual({
    image: 'debian-12',
    deleted: [1, 2, 4],
    untagged: ['stable'],
  });
  expect(await json('tag', url, 'debian-12')).toEqual({ image: 'debian-12', tags: [] });
});

test('a tag whose snapshot was deleted by a lazydisk without tags is told, and undelete takes it', async () => {
  const { url, run, text, json } = world;
  await text('tag', url, 'debian-12@2', 'stable');
  const { store } = await world.repository();
  const tag = await store.get('images/debian-12/tags/stable.json');
  await text('delete', url, 'debian-12@2', '--yes', '--untag');
  await store.put('images/debian-12/tags/stable.json', tag);
  expect(await text('list', url, 'debian-12')).toContain('debian-12:stable: leads to @2, which was deleted\n');
  expect(await run('clone', url, 'debian-12:stable', 'vm-02')).toMatchObject({
    status: 3,
    err: expect.stringMatching(/^lazydisk: debian-12@2 was deleted; `lazydisk undelete`/),
  });
  expect(await json('undelete', url, 'debian-12:stable')).toEqual({ image: 'debian-12', number: 2 });
  expect((await run('clone', url, 'debian-12:stable', 'vm-02')).status).toBe(0);
});

test.each([
  [2, 'expected 1 to 128', ['debian-12', '12']],
  [2, 'file of that name', ['debian-12', 'latest']],
  [2, 'Listing tags takes the name of an image', ['debian-12@1']],
  [2, '--delete takes the name of an image', ['debian-12@1', 'stable', '--delete']],
  [2, '--delete takes the tag', ['debian-12', '--delete']],
  [3, 'debian-12@9 does not exist', ['debian-12@9', 'stable']],
  [3, 'no image other', ['other']],
  [3, 'debian-12 has no tag stable; it has no tags', ['debian-12:stable', 'other']],
  [3, 'debian-12 has no tag stable', ['debian-12', 'stable', '--delete']],
])('is refused with status %i: %s', async (status, sentence, words) => {
  const said = await world.run('tag', world.url, ...words);
  expect(said).toMatchObject({ status, out: '' });
  expect(said.err).toContain(sentence);
});
