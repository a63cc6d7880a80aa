import { expect, test } from '@jest/globals';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { lazydisk } from '../helpers/program.js';
import { createRepository, describeS3 } from '../helpers/repositories.js';

cleanUpAfter('each');

describeS3('on a real server, one clear sentence and status 5 or 3', () => {
  async function failure(words: readonly string[], env: Readonly<Record<string, string | undefined>>) {
    const { status, stdout, stderr } = await lazydisk([...words, '--timeout', '5'], { env });
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^lazydisk: .*\.\n/);
    return { status, stderr };
  }

  test('for a bucket that is missing', async () => {
    const { env } = await createRepository('s3');
    for (const verb of ['init', 'list']) {
      const { status, stderr } = await failure([verb, 's3://lazydisk-there-is-no-such-bucket/x'], env);
      expect([3, 5]).toContain(status);
      expect(stderr).toContain('lazydisk-there-is-no-such-bucket');
    }
  }, 60_000);

  test('for a wrong secret and an unknown key, which are not repeated', async () => {
    const { env, url } = await createRepository('s3');
    for (const changes of [{ AWS_SECRET_ACCESS_KEY: 'wrong-secret-words' }, { AWS_ACCESS_KEY_ID: 'NOBODYKNOWSME' }]) {
      const { status, stderr } = await failure(['list', url], { ...env, ...changes });
      expect(status).toBe(5);
      expect(stderr).not.toContain('wrong-secret-words');
    }
  }, 60_000);

  test('for a prefix that is no repository', async () => {
    const { env, url } = await createRepository('s3');
    const { status, stderr } = await failure(['list', `${url}/deeper`], env);
    expect(status).toBe(3);
    expect(stderr).toContain('lazydisk init');
  }, 60_000);
});
