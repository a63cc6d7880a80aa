import { expect, test } from '@jest/globals';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { lazydisk } from '../helpers/program.js';
import { createRepository, describeS3 } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

describeS3('on a real server, one clear sentence and status 5 or 3', () => {
  async function failure(words: readonly string[], env: Readonly<Record<string, string | undefined>>, limitS = 30) {
    const { status, stdout, stderr } = await lazydisk([...words, '--timeout', String(limitS)], { env });
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
  });

  test('for a wrong secret and an unknown key, which are not repeated', async () => {
    const { env, url } = await createRepository('s3');
    for (const changes of [{ AWS_SECRET_ACCESS_KEY: 'wrong-secret-words' }, { AWS_ACCESS_KEY_ID: 'NOBODYKNOWSME' }]) {
      const { status, stderr } = await failure(['list', url], { ...env, ...changes });
      expect(status).toBe(5);
      expect(stderr).not.toContain('wrong-secret-words');
    }
  });

  test('for a prefix that is no repository', async () => {
    const { env, url } = await createRepository('s3');
    const { status, stderr } = await failure(['list', `${url}/deeper`], env);
    expect(status).toBe(3);
    expect(stderr).toContain('lazydisk init');
  });

  // Mounting needs root; the sentence comes back through the daemon that ends.
  (process.getuid?.() === 0 ? test : test.skip)(
    'through the daemon of a mount too, which leaves nothing mounted',
    async () => {
      const { env, url } = await createRepository('s3');
      const mountpoint = temporaryFolder('mountpoint');
      const state = temporaryFolder('state');
      const mountOf = (repository: string): string[] => ['mount', repository, mountpoint, '--state', `${state}/s`];
      const bucket = await failure(mountOf('s3://lazydisk-there-is-no-such-bucket/x'), env);
      expect(bucket.status).toBe(5);
      expect(bucket.stderr).toContain('lazydisk-there-is-no-such-bucket');
      const secret = await failure(mountOf(url), { ...env, AWS_SECRET_ACCESS_KEY: 'wrong-secret-words' });
      expect(secret.status).toBe(5);
      expect(secret.stderr).not.toContain('wrong-secret-words');
      const nowhere = { ...env, AWS_ENDPOINT_URL: 'http://127.0.0.1:9', AWS_ENDPOINT_URL_S3: undefined };
      const refused = await failure(mountOf(url), nowhere, 2);
      expect(refused.status).toBe(5);
      expect(refused.stderr).toContain('127.0.0.1:9');
      expect((await failure(mountOf(`${url}/deeper`), env)).status).toBe(3);
    },
  );
});
