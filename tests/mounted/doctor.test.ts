/** `lazydisk doctor` on a real server, and what it leaves behind: nothing. */
import { expect, test } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { lazydisk } from '../helpers/program.js';
import { createRepository, describeS3 } from '../helpers/repositories.js';
import { mountpointsUnder, temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

interface Finding {
  readonly check: string;
  readonly outcome: string;
  readonly found: string;
}

describeS3('lazydisk doctor of a repository in S3', () => {
  test('finds every right, and nothing mounted or left afterwards', async () => {
    const repository = await createRepository('s3');
    const [state, work] = [temporaryFolder('state'), temporaryFolder('work')];
    const { status, stdout } = await lazydisk(['doctor', repository.url, '--state', state, '--json'], {
      env: { ...repository.env, TMPDIR: work },
    });
    const { findings } = JSON.parse(stdout) as { findings: Finding[] };
    expect({ status, failures: findings.filter(({ outcome }) => outcome === 'fail') }).toEqual({
      status: 0,
      failures: [],
    });
    const good = findings.filter(({ outcome }) => outcome === 'ok').map(({ check }) => check);
    expect(good).toEqual(
      expect.arrayContaining([
        ...['Node', 'FUSE', 'state folder', 'credentials', 'store', 'repository'],
        ...['writing', 'If-None-Match', 'reading parts', 'deleting'],
      ]),
    );
    expect(await mountpointsUnder(work)).toEqual([]);
    expect([await readdir(state), await readdir(work)]).toEqual([[], []]);
  });

  test('fails with a wrong key, in one line that says so, and with status 1', async () => {
    const repository = await createRepository('s3');
    const { status, stdout, stderr } = await lazydisk(['doctor', repository.url], {
      env: { ...repository.env, AWS_SECRET_ACCESS_KEY: 'wrong' },
    });
    expect(status).toBe(1);
    expect(stdout).toMatch(/^fail {2}store .*secret access key is wrong\.$/m);
    expect(stderr).toBe('lazydisk: Not all is well (store): the lines that begin with "fail" say what to do.\n');
  });
});
