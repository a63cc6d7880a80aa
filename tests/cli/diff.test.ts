import { beforeEach, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { copiedFixture, type VerbWorld } from '../helpers/verbs.js';

cleanUpAfter('each');

let world: VerbWorld;
beforeEach(() => {
  world = copiedFixture();
});

async function bytesOf(snapshot: string): Promise<Buffer> {
  const path = join(world.folder, `${snapshot}.raw`);
  await world.text('export', world.url, snapshot, path, '--force');
  return readFile(path);
}

interface Extent {
  readonly start: number;
  readonly length: number;
  readonly zero: boolean;
  readonly data: boolean;
  readonly was: 'data' | 'zero';
}

// S60
test.each([
  ['debian-12@1', 'debian-12@2'],
  ['debian-12@2', 'debian-12@4'],
  ['debian-12@5', 'debian-12@1'],
  ['debian-12@4', 'vm-01@2'],
])('%s and %s are the same outside of the extents that it prints, and in no chunk of them', async (from, to) => {
  const { extents, chunkSizeBytes } = (await world.json('diff', world.url, from, to)) as {
    extents: Extent[];
    chunkSizeBytes: number;
  };
  const [before, after] = [await bytesOf(from), await bytesOf(to)];
  const size = Math.max(before.length, after.length);
  const padded = [before, after].map((bytes) => Buffer.concat([bytes, Buffer.alloc(size - bytes.length)]));
  for (let offset = 0; offset < size; offset += chunkSizeBytes) {
    const end = Math.min(size, offset + chunkSizeBytes);
    const [old, young] = padded.map((bytes) => bytes.subarray(offset, end)) as [Buffer, Buffer];
    const extent = extents.find(({ start, length }) => start <= offset && offset < start + length);
    expect(extent === undefined).toBe(old.equals(young));
    if (extent === undefined) continue;
    expect(extent.zero).toBe(young.every((byte) => byte === 0));
    expect(extent.data).toBe(!extent.zero);
    expect(extent.was).toBe(old.every((byte) => byte === 0) ? 'zero' : 'data');
  }
});

test('with one snapshot it shows what its commit has changed, and for people it ends with a sum', async () => {
  const { url, json, text } = world;
  const { parent } = await (await world.repository()).readRecord('vm-01', 2);
  const against = `${parent!.image}@${parent!.number}`;
  expect(await json('diff', url, 'vm-01@2')).toEqual(await json('diff', url, against, 'vm-01@2'));
  const said = await text('diff', url, 'vm-01@2');
  expect(said).toMatch(/^START +LENGTH +CHANGE\n/);
  expect(said).toMatch(new RegExp(`\\n${against} and vm-01@2: .*(changed|written|zeroed).*; .* to fetch\n$`));
  expect(await text('diff', url, 'vm-01@2', 'vm-01')).toBe('vm-01@2 and vm-01@2 hold the same data\n');
  await text('tag', url, 'debian-12@1', 'first');
  expect(await json('diff', url, 'debian-12:first', 'debian-12@2')).toEqual(
    await json('diff', url, 'debian-12@1', 'debian-12@2'),
  );
});

test('a snapshot that was made from nothing has to be compared with a named one', async () => {
  const said = await world.run('diff', world.url, 'debian-12@1');
  expect(said).toMatchObject({ status: 3, out: '' });
  expect(said.err).toContain('debian-12@1 was made from nothing else');
  expect((await world.run('diff', world.url, 'debian-12@1', 'debian-12@3')).status).toBe(3);
});
