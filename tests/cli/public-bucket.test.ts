/** A bucket that everybody may read: without keys, and without looking for any. */
import { expect, test } from '@jest/globals';
import { join } from 'node:path';
import { Client } from 'minio';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf } from '../helpers/contents.js';
import { repositoryWithImage } from '../helpers/images.js';
import { lazydisk, mustLazydisk } from '../helpers/program.js';
import { describeS3 } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';

describeS3('--no-sign-request', () => {
  cleanUpAfter('each');

  test('reads a public bucket, and says that writing is not allowed', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const { env } = repository;
    const bucket = new URL(repository.url).host;
    const { hostname, port } = new URL(env['AWS_ENDPOINT_URL_S3'] ?? '');
    const client = new Client({
      endPoint: hostname,
      port: Number(port),
      useSSL: false,
      region: 'us-east-1',
      accessKey: env['AWS_ACCESS_KEY_ID'] ?? '',
      secretKey: env['AWS_SECRET_ACCESS_KEY'] ?? '',
    });
    const resources = [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`];
    const statement = {
      Effect: 'Allow',
      Principal: '*',
      Action: ['s3:ListBucket', 's3:GetObject'],
      Resource: resources,
    };
    await client.setBucketPolicy(bucket, JSON.stringify({ Version: '2012-10-17', Statement: [statement] }));

    const nobody = { ...env, AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined };
    expect(await lazydisk(['list', repository.url], { env: nobody })).toMatchObject({
      status: 5,
      stderr: expect.stringContaining('for a public bucket, --no-sign-request') as unknown,
    });
    expect(await mustLazydisk(['list', repository.url, '--no-sign-request'], { env: nobody })).toContain(name);
    const copy = join(temporaryFolder('copy'), 'copy.raw');
    await mustLazydisk(['export', repository.url, name, copy], { env: { ...nobody, LAZYDISK_NO_SIGN_REQUEST: '1' } });
    expect(await checksumOf(copy)).toBe(await checksumOf(original));
    expect(
      await lazydisk(['import', repository.url, original, 'other', '--no-sign-request'], { env: nobody }),
    ).toMatchObject({ status: 5, stderr: expect.stringContaining('lack s3:PutObject') as unknown });
  });
});
