import { expect, test } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { must } from '../helpers/processes.js';
import { mountpointsUnder, temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const STEPS = ['image', 'imported', 'mounted', 'read', 'cloned', 'written', 'committed', 'verified'];

test('the demo says each step, and leaves nothing behind', async () => {
  const folder = temporaryFolder('demo');
  const image = join(temporaryFolder('image'), 'image.raw');
  await must('mke2fs', ['-q', '-t', 'ext4', '-d', resolve('docs'), image, '48m']);
  const said = await must('bash', [resolve('examples/demo.sh')], {
    env: { IMAGE: image, TMPDIR: folder, KEEP: undefined },
  });
  const steps = [...said.matchAll(/^ *\d+\. (\w+)/gm)].map(([, step]) => step);
  expect(steps).toEqual(STEPS);
  expect(said).toMatch(/^Done in \d+ s/m);
  expect(await readdir(folder)).toEqual([]);
  expect(await mountpointsUnder(folder)).toEqual([]);
});
