import { beforeEach, expect, test } from '@jest/globals';
import { writerKey } from '../../lib/format/keys.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { copiedFixture, type VerbWorld } from '../helpers/verbs.js';

cleanUpAfter('each');

let world: VerbWorld;
beforeEach(() => {
  world = copiedFixture();
});

async function living(image = 'debian-12'): Promise<number[]> {
  return (await (await world.repository()).listImage(image)).snapshots.map(({ number }) => number);
}

// S61
test('what the policy does not keep is forgotten, and comes back by undelete', async () => {
  const { url, json, text } = world;
  expect(await living()).toEqual([1, 2, 4, 5]);
  const expected = {
    image: 'debian-12',
    kept: [
      { number: 4, reasons: ['last'] },
      { number: 5, reasons: ['newest', 'last'] },
    ],
    forgotten: [1, 2],
    untagged: [],
  };
  expect(await json('forget', url, 'debian-12', '--keep-last', '2', '--dry-run')).toEqual({
    dryRun: true,
    images: [expected],
  });
  expect(await living()).toEqual([1, 2, 4, 5]);
  expect(await text('forget', url, 'debian-12', '--keep-last', '2', '--dry-run')).toMatch(
    /^SNAPSHOT +TIME +TAGS +KEPT AS\ndebian-12@1 .* FORGET\n(.*\n)*debian-12@5 .* newest, last\n2 of 4 snapshots would be forgotten\n$/,
  );
  expect(await json('forget', url, 'debian-12', '--keep-last', '2', '--yes')).toEqual({
    dryRun: false,
    images: [expected],
  });
  expect(await living()).toEqual([4, 5]);
  await text('undelete', url, 'debian-12@2');
  expect(await living()).toEqual([2, 4, 5]);
});

test('what is tagged stays, with --untag only what --keep-tag names', async () => {
  const { url, json } = world;
  await json('tag', url, 'debian-12@1', 'stable');
  await json('tag', url, 'debian-12@2', 'testing');
  const forget = (...words: string[]) => json('forget', url, 'debian-12', '--yes', ...words);
  expect(await forget('--keep-last', '1')).toMatchObject({ images: [{ forgotten: [4] }] });
  expect(await forget('--keep-tag', 'stable', '--keep-tag', 'old', '--untag')).toEqual({
    dryRun: false,
    images: [
      {
        image: 'debian-12',
        kept: [
          { number: 1, reasons: ['tag'] },
          { number: 5, reasons: ['newest'] },
        ],
        forgotten: [2],
        untagged: ['testing'],
      },
    ],
  });
  expect(await json('tag', url, 'debian-12')).toMatchObject({ tags: [{ tag: 'stable', number: 1 }] });
});

test('of several images, or of all, the base of a lock stays', async () => {
  const { url, json } = world;
  const lock = await (await world.repository()).readLock('vm-01');
  expect(lock?.base?.number).toBe(1);
  expect(await json('forget', url, 'vm-01', 'empty', '--keep-last', '1', '--dry-run')).toMatchObject({
    images: [
      { image: 'vm-01', kept: [{ number: 1, reasons: ['base'] }, { number: 2 }], forgotten: [] },
      { image: 'empty', kept: [{ number: 2 }], forgotten: [1] },
    ],
  });
  await json('forget', url, '--all', '--keep-last', '1', '--yes');
  expect([await living(), await living('vm-01'), await living('empty')]).toEqual([[5], [1, 2], [2]]);
});

test('nothing of any image is forgotten when a lock or a tag of one can not be read', async () => {
  const { url, run } = world;
  const { store } = await world.repository();
  for (const key of [writerKey('vm-01'), 'images/vm-01/tags/stable.json']) {
    await store.put(key, Buffer.from('no json'));
    const said = await run('forget', url, '--all', '--keep-last', '1', '--yes');
    expect(said).toMatchObject({ status: 6, out: '' });
    expect(said.err).toContain(`${key} is damaged`);
    await store.delete(key);
  }
  expect(await living()).toEqual([1, 2, 4, 5]);
});

test.each([
  ['takes the images to look at, or --all', ['--keep-last', '1']],
  ['takes the images to look at, or --all', ['vm-01', '--all', '--keep-last', '1']],
  ['takes a policy', ['vm-01']],
  ['takes a policy', ['vm-01', '--untag']],
  ['--keep-daily takes a whole number from 1, not "0"', ['vm-01', '--keep-daily', '0']],
  ['--keep-last takes a whole number', ['vm-01', '--keep-last', '1', '--keep-last', '2']],
  ['--keep-within takes a duration', ['vm-01', '--keep-within', 'long']],
])('it %s: %p', async (sentence, words) => {
  const said = await world.run('forget', world.url, ...words);
  expect(said).toMatchObject({ status: 2, out: '' });
  expect(said.err).toContain(sentence);
});
