/** The gallery in examples/recipes.md: every command of it is run, and prints what stands there. */
import { expect } from '@jest/globals';
import { chmod, copyFile, mkdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { testOn } from '../helpers/driver.js';
import { must, run } from '../helpers/processes.js';
import { lazydisk } from '../helpers/program.js';
import { mountpointsUnder, temporaryFolder } from '../helpers/temporary.js';
import { patternOf, stepsOf } from '../helpers/transcript.js';

cleanUpAfter('each');

// The recipes mount as users do, on the default driver.
testOn('kernel')('every recipe of the gallery works as it is written', async () => {
  const folder = await realpath(temporaryFolder('recipes'));
  const mountpoint = join(folder, 'lab');
  const places: readonly [written: string, here: string][] = [
    ['s3://images/lab', `file://${join(folder, 'repository')}`],
    ['/srv/', `${folder}/`],
  ];
  const here = (text: string): string => places.reduce((said, [from, to]) => said.replaceAll(from, to), text);
  const work = join(folder, 'work');
  for (const path of [mountpoint, work, join(folder, 'bin')]) await mkdir(path);
  const program = join(folder, 'bin', 'lazydisk');
  await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${resolve('dist/mount/cli/main.js')}' "$@"\n`);
  await chmod(program, 0o755);
  await copyFile(join('examples', 'read-repository.py'), join(work, 'read-repository.py'));
  const env = {
    LAZYDISK_RUNTIME_DIR: join(folder, 'run'),
    PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
  };
  undoLater(async () => {
    for (const path of await mountpointsUnder(work)) await must('umount', [path]);
    if ((await mountpointsUnder(mountpoint)).length > 0) await lazydisk(['unmount', mountpoint], { env });
  });

  const steps = stepsOf(await readFile(join('examples', 'recipes.md'), 'utf8'));
  expect(steps.length).toBeGreaterThan(40);
  for (const { command, expected, section } of steps) {
    const { status, stdout } = await run('bash', ['-c', `exec 2>&1; ${here(command)}`], { cwd: work, env });
    const found = { section, command, status, stdout };
    expect(found).toEqual({
      ...found,
      status: 0,
      stdout: expect.stringMatching(patternOf(here(expected))),
    });
  }
  expect(await mountpointsUnder(folder)).toEqual([]);
});
