import { expect, test } from '@jest/globals';
import { describeMount } from '../../mount/cli/status.js';
import { FakeCatalogue } from '../helpers/fake-catalogue.js';
import { treeFixture } from '../helpers/tree-fixture.js';

test('the status of a mount is its facts, with units, and then one line for each image', async () => {
  const fixture = await treeFixture();
  fixture.catalogue.image('vm').publish(Buffer.alloc(2048));
  fixture.catalogue.image('empty');
  const text = describeMount(await fixture.tree.status());
  expect(text).toMatch(/^driver +kernel$/m);
  expect(text).toMatch(/^fetched +500 B$/m);
  const [, images = ''] = text.split('\n\n');
  const lines = images.split('\n').map((line) => line.split(/  +/));
  expect(lines).toEqual([
    ['IMAGE', 'HEALTH', 'SIZE', 'BASE', 'DIRTY', 'LOCAL', 'OPEN', 'LOCK', 'NOTE'],
    ['empty', 'ok', '0 B', '-', '0 B', '0 B', '0', '-'],
    ['vm', 'ok', '2 KiB', '@1', '0 B', expect.any(String), '0', '-'],
  ]);
});

test('a mount without images has its facts alone', async () => {
  const fixture = await treeFixture({ catalogue: new FakeCatalogue() });
  expect(describeMount(await fixture.tree.status())).not.toContain('IMAGE');
});
