/**
 * Credentials that are not keys in a file: from a program, and from the services of a platform, which are servers of the test
 * that answer as those do. The library that asks them takes its variables from the process, so they are put there.
 */
import { chmodSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { resolveS3Settings } from '../../lib/store/s3-settings.js';
import type { S3Credentials } from '../../lib/store/s3-credentials.js';
import type { LazydiskError } from '../../lib/util/errors.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { startScriptedServer, type ScriptedServer } from '../helpers/scripted-server.js';
import { temporaryFolder } from '../helpers/temporary.js';

const EXPIRES = '2099-01-02T03:04:05Z';
const FOUND = {
  accessKey: 'AN-ID',
  secretKey: 'A-SECRET',
  sessionToken: 'A-TOKEN',
  expiresAtMs: Date.parse(EXPIRES),
};
/** As a container's and an instance's service tell them. */
const DOCUMENT = {
  Code: 'Success',
  AccessKeyId: 'AN-ID',
  SecretAccessKey: 'A-SECRET',
  Token: 'A-TOKEN',
  Expiration: EXPIRES,
};

let folder: string;

cleanUpAfter('each');
beforeEach(() => {
  folder = temporaryFolder('credentials');
});

/** The variables of the process become these, until the test has ended. */
function setVariables(variables: Readonly<Record<string, string>>): void {
  const before = process.env;
  const others = Object.entries(before).filter(([name]) => !name.startsWith('AWS_'));
  process.env = { ...Object.fromEntries(others), ...variables };
  undoLater(() => {
    process.env = before;
  });
}

/** What is found with these variables, and with these lines as the profile `default`. */
async function found(variables: Record<string, string>, ...profile: string[]): Promise<S3Credentials | undefined> {
  const environment = {
    AWS_SHARED_CREDENTIALS_FILE: join(folder, 'credentials'),
    AWS_CONFIG_FILE: join(folder, 'config'),
    AWS_EC2_METADATA_DISABLED: 'true',
    ...variables,
  };
  await writeFile(environment.AWS_CONFIG_FILE, ['[default]', ...profile].join('\n'));
  setVariables(environment);
  return (await resolveS3Settings(process.env, 'http://storage:1')).readCredentials();
}

async function service(answers: Record<string, string>): Promise<ScriptedServer> {
  const server = await startScriptedServer();
  undoLater(() => server.close());
  server.answer = (request, response) => {
    const answer = answers[`${request.method ?? ''} ${request.url ?? ''}`];
    response.writeHead(answer === undefined ? 404 : 200).end(answer);
  };
  return server;
}

async function program(...lines: string[]): Promise<string> {
  const path = join(folder, 'get-keys');
  await writeFile(path, ['#!/bin/sh', ...lines].join('\n'));
  chmodSync(path, 0o755);
  return `credential_process = ${path} --password hunter2`;
}

describe('credentials come from', () => {
  it('a program that the profile names', async () => {
    const answer = JSON.stringify({
      Version: 1,
      AccessKeyId: 'AN-ID',
      SecretAccessKey: 'A-SECRET',
      SessionToken: 'A-TOKEN',
      Expiration: EXPIRES,
    });
    expect(await found({}, await program(`echo '${answer}'`))).toEqual(FOUND);
  });

  it('the service of a container', async () => {
    const server = await service({ 'GET /keys': JSON.stringify(DOCUMENT) });
    expect(
      await found({
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${server.url}/keys`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN: 'let me in',
      }),
    ).toEqual(FOUND);
    expect(server.requests[0]?.headers.authorization).toBe('let me in');
  });

  it('the service of an instance', async () => {
    const path = '/latest/meta-data/iam/security-credentials/';
    const server = await service({
      'PUT /latest/api/token': 'a-session',
      [`GET ${path}`]: 'a-role',
      [`GET ${path}a-role`]: JSON.stringify(DOCUMENT),
    });
    expect(
      await found({ AWS_EC2_METADATA_SERVICE_ENDPOINT: server.url, AWS_EC2_METADATA_DISABLED: 'false' }),
    ).toMatchObject(FOUND);
    expect(server.requests.at(-1)?.headers['x-aws-ec2-metadata-token']).toBe('a-session');
  });

  it('a role that a token in a file opens', async () => {
    const token = join(folder, 'token');
    await writeFile(token, 'the-web-token');
    const server = await service({
      'POST /':
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>' +
        '<Credentials><AccessKeyId>AN-ID</AccessKeyId><SecretAccessKey>A-SECRET</SecretAccessKey>' +
        `<SessionToken>A-TOKEN</SessionToken><Expiration>${EXPIRES}</Expiration></Credentials>` +
        '</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>',
    });
    expect(
      await found({
        AWS_WEB_IDENTITY_TOKEN_FILE: token,
        AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/reader',
        AWS_ENDPOINT_URL_STS: server.url,
      }),
    ).toEqual(FOUND);
  });
});

describe('a way to credentials that fails is REFUSED', () => {
  it('with the end of what the program said, and without its command, which may hold a secret', async () => {
    const failed = found({}, await program('echo "no such vault" >&2', 'exit 3'));
    const error = (await failed.catch((thrown: unknown) => thrown)) as LazydiskError;
    expect([error.code, error.message, error.cause]).toEqual([
      'REFUSED',
      'The profile default gets its credentials by credential_process, and that failed: no such vault.',
      undefined,
    ]);
    await expect(found({}, await program('exit 3'))).rejects.toMatchObject({
      message: expect.not.stringContaining('hunter2') as unknown,
    });
  });

  it('with the variable that promised it', async () => {
    const server = await service({});
    await expect(found({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${server.url}/keys` })).rejects.toMatchObject({
      code: 'REFUSED',
      message: expect.stringContaining(
        'The credentials come from AWS_CONTAINER_CREDENTIALS_FULL_URI, and that failed',
      ) as unknown,
    });
  });
});
