/** FORMAT 11: a repository can be read without lazydisk. */
import { describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { cpSync, readFileSync } from 'node:fs';
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { randomId } from '../../lib/format/checksums.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { moveTag } from '../../lib/repository/tags.js';
import { openRepository } from '../../lib/repository/repository.js';
import { DirectoryStore } from '../../lib/store/directory-store.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { must, run, type Ended } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';
import type { FixtureContents } from '../tools/make-fixture.js';

const SCRIPT = resolve('examples/read-repository.py');
const FIXTURES = join('tests', 'fixtures');

cleanUpAfter('each');

function readRepository(...words: string[]): Promise<Ended> {
  return run('python3', [SCRIPT, ...words]);
}

/** A copy of a frozen repository that may be changed. */
function copyOf(name: string): string {
  const folder = join(temporaryFolder('reader'), 'repository');
  cpSync(join(FIXTURES, name, 'repository'), folder, { recursive: true });
  return folder;
}

describe.each(['repository-v1', 'repository-v1-zstd'])('the reader in Python, over %s', (name) => {
  const folder = join(FIXTURES, name, 'repository');
  const { snapshots } = JSON.parse(readFileSync(join(FIXTURES, name, 'contents.json'), 'utf8')) as FixtureContents;

  test('rebuilds every snapshot byte by byte, as a sparse file', async () => {
    const target = join(temporaryFolder('reader'), 'disk.raw');
    expect(snapshots.length).toBe(8);
    for (const { image, number, sizeBytes, allocatedBytes, sha256 } of snapshots) {
      const said = await must('python3', [SCRIPT, folder, `${image}@${number}`, target]);
      expect(said).toBe(`${image}@${number}: ${sizeBytes} bytes, ${allocatedBytes} allocated\n`);
      expect(
        createHash('sha256')
          .update(await readFile(target))
          .digest('hex'),
      ).toBe(sha256);
      expect((await stat(target)).blocks * 512).toBeLessThanOrEqual(allocatedBytes + 65_536);
    }
  });

  test('lists what there is, and takes the newest where no number is named', async () => {
    expect(await readRepository(folder)).toMatchObject({
      status: 0,
      stdout: 'debian-12 @1 @2 @4 @5\nempty @1 @2\nvm-01 @1 @2\n',
    });
    const target = join(temporaryFolder('reader'), 'disk.raw');
    expect((await readRepository(folder, 'debian-12', target)).stdout).toMatch(/^debian-12@5: /);
  });
});

describe('the reader in Python', () => {
  test('takes tags', async () => {
    const folder = copyOf('repository-v1');
    await moveTag(await openRepository(new DirectoryStore(folder)), 'debian-12', 'stable', 2);
    const said = await readRepository(folder, 'debian-12:stable', join(folder, '..', 'disk.raw'));
    expect(said.stdout).toMatch(/^debian-12@2: /);
  });

  test('passes over what was deleted', async () => {
    const folder = copyOf('repository-v1');
    await (await openRepository(new DirectoryStore(folder))).deleteSnapshot('vm-01', 2);
    expect((await readRepository(folder)).stdout).toContain('\nvm-01 @1\n');
    expect(await readRepository(folder, 'vm-01@2', join(folder, '..', 'disk.raw'))).toMatchObject({
      status: 1,
      stderr: 'read-repository.py: vm-01@2 was deleted\n',
    });
  });

  test('names the object that is damaged, whichever it is', async () => {
    const folder = copyOf('repository-v1');
    const target = join(folder, '..', 'disk.raw');
    for (const segment of await readdir(join(folder, 'segments'))) {
      const file = await open(join(folder, 'segments', segment), 'r+');
      await file.write('X', 40);
      await file.close();
    }
    expect(await readRepository(folder, 'debian-12@1', target)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^read-repository\.py: segments\/[0-9a-f]{32} is damaged: .*\n$/),
    });
    // The frozen records are from before there were checksums.
    const repository = await openRepository(new DirectoryStore(folder));
    await cloneSnapshot(repository, { from: 'debian-12', number: 1, to: 'sealed', writerId: randomId() });
    const key = 'images/sealed/snapshots/00000001.json';
    const record = await readFile(join(folder, key), 'utf8');
    for (const [text, sentence] of [
      [record.replace(/"sizeBytes": \d/, '"sizeBytes": 9'), 'is damaged: its checksum is wrong'],
      [record.replace('"requires": []', '"requires": ["later"]'), 'needs a newer reader than this'],
      ['no json', "can't be read"],
    ] as const) {
      expect(text).not.toBe(record);
      await writeFile(join(folder, key), text);
      const { status, stderr } = await readRepository(folder, 'sealed@1', target);
      expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining(`${key} ${sentence}`) });
    }
  });

  test('of wrong use it says how it is used, and of what is not there that it is not', async () => {
    const folder = join(FIXTURES, 'repository-v1', 'repository');
    for (const words of [[], [folder, '../vm-01', 'x']]) {
      expect(await readRepository(...words)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('read-repository.py FOLDER IMAGE'),
      });
    }
    expect(await readRepository(folder, 'vm-01@9', 'x')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("images/vm-01/snapshots/00000009.json can't be read"),
    });
  });

  test('of a compressed snapshot it says what is missing to read it', async () => {
    const folder = join(FIXTURES, 'repository-v1-zstd', 'repository');
    const python = (await must('python3', ['-c', 'import sys; print(sys.executable)'])).trim();
    const has = await run(python, ['-c', 'import compression.zstd']);
    const said = await run(python, [SCRIPT, folder, 'debian-12@1', join(temporaryFolder('reader'), 'disk.raw')], {
      env: { PATH: '/nowhere' },
    });
    if (has.status === 0) expect(said.status).toBe(0);
    else {
      expect(said.stderr).toBe(
        'read-repository.py: this snapshot is compressed: install the program zstd, or use Python 3.14\n',
      );
    }
  });
});
