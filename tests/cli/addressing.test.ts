/** The bucket before the host's name, on a real server: it is resolved by a file of hosts that knows no name but the bucket's own. */
import { describe, expect, test } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf } from '../helpers/contents.js';
import { repositoryWithImage } from '../helpers/images.js';
import { mountNamespace } from '../helpers/mount-namespace.js';
import type { Ended } from '../helpers/processes.js';
import { describeS3 } from '../helpers/repositories.js';
import { S3_NAME } from '../helpers/s3-server.js';
import { temporaryFolder } from '../helpers/temporary.js';

// /etc/hosts is replaced in a namespace, which takes root; and the server has to have a name.
const canResolve = process.getuid?.() === 0 && S3_NAME !== undefined;

(canResolve ? describeS3 : describe.skip)('--addressing virtual', () => {
  cleanUpAfter('each');

  test('reads, writes and deletes at a host of the bucket; path and an address instead of a name are told apart', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const { env, url } = repository;
    const bucket = new URL(url).host;
    const place = temporaryFolder('addressing');
    writeFileSync(join(place, 'hosts'), `127.0.0.1 ${bucket}.${S3_NAME!}\n`);
    const namespace = await mountNamespace();
    await namespace.replace('/etc/hosts', join(place, 'hosts'));
    const given = env['AWS_ENDPOINT_URL_S3'] ?? '';
    const named = `http://${S3_NAME!}:${new URL(given).port}`;
    const lazydisk = (words: readonly string[], more: Record<string, string> = {}, limitS = 30): Promise<Ended> => {
      const variables = Object.entries({ ...env, AWS_ENDPOINT_URL_S3: named, ...more });
      const unset = variables.flatMap(([key, value]) => (value === undefined ? ['-u', key] : []));
      const set = variables.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
      const main = resolve('dist/mount/cli/main.js');
      return namespace.run('env', [...unset, ...set, process.execPath, main, ...words, '--timeout', String(limitS)]);
    };
    const virtual = ['--addressing', 'virtual'];
    const copy = join(place, 'copy.raw');
    for (const words of [
      ['export', url, name, copy],
      ['import', url, original, 'other', '--new'],
      ['delete', url, 'other', '--yes'],
      ['init', `${url}-too`],
    ]) {
      expect(await lazydisk([...words, ...virtual])).toMatchObject({ status: 0 });
    }
    expect(await checksumOf(copy)).toBe(await checksumOf(original));
    expect(await lazydisk(['list', url], { LAZYDISK_ADDRESSING: 'virtual' })).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(name) as unknown,
    });
    // There is no host without the bucket's name.
    expect(await lazydisk(['list', url], {}, 2)).toMatchObject({ status: 5 });
    expect(await lazydisk(['list', url, ...virtual], { AWS_ENDPOINT_URL_S3: given })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--addressing is virtual') as unknown,
    });
  });
});
