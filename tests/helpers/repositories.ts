/**
 * Repositories for tests: a folder, or a bucket of its own on the S3 server of this run (tests/tools/run-tests.sh starts
 * one and says where it is). With LAZYDISK_REQUIRE_S3 a missing server is an error, without it those tests are skipped.
 */
import { describe } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Client } from 'minio';
import { mustLazydisk } from './program.js';
import { temporaryFolder } from './temporary.js';

export type RepositoryKind = 'file' | 's3';

export interface TestRepository {
  readonly kind: RepositoryKind;
  readonly url: string;
  /** What the program needs in its environment to reach it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** file: the folder. s3: undefined. */
  readonly folder: string | undefined;
}

const ENDPOINT = process.env['LAZYDISK_TEST_S3_ENDPOINT'];
const ACCESS_KEY = process.env['LAZYDISK_TEST_S3_ACCESS_KEY'] ?? '';
const SECRET_KEY = process.env['LAZYDISK_TEST_S3_SECRET_KEY'] ?? '';
if (ENDPOINT === undefined && process.env['LAZYDISK_REQUIRE_S3'] === '1') {
  throw new Error('LAZYDISK_REQUIRE_S3 is set, but LAZYDISK_TEST_S3_ENDPOINT is not');
}

/** The kinds that this run can test. */
export const REPOSITORY_KINDS: readonly RepositoryKind[] = ENDPOINT === undefined ? ['file'] : ['file', 's3'];

/** `describe` for what needs the S3 server. */
export function describeS3(title: string, tests: () => void): void {
  (ENDPOINT === undefined ? describe.skip : describe)(title, tests);
}

/** Where the S3 server listens. */
export function s3Endpoint(): { url: string; host: string; port: number } {
  if (ENDPOINT === undefined) throw new Error('no S3 server in this run');
  const { hostname, port } = new URL(ENDPOINT);
  return { url: ENDPOINT, host: hostname, port: Number(port) };
}

/** A new, initialised repository. `endpoint`: through which address the program talks to S3 (a proxy). */
export async function createRepository(kind: RepositoryKind, endpoint?: string): Promise<TestRepository> {
  const home = temporaryFolder('home');
  const repository = kind === 'file' ? folderRepository(home) : await bucketRepository(home, endpoint);
  await mustLazydisk(['init', repository.url], { env: repository.env });
  return repository;
}

/** The same repository through another address. */
export function through(repository: TestRepository, endpoint: string): TestRepository {
  return { ...repository, env: { ...repository.env, AWS_ENDPOINT_URL: endpoint } };
}

function folderRepository(home: string): TestRepository {
  const folder = join(home, 'repository');
  return { kind: 'file', url: `file://${folder}`, env: { HOME: home }, folder };
}

async function bucketRepository(home: string, endpoint: string | undefined): Promise<TestRepository> {
  const { url, host, port } = s3Endpoint();
  const bucket = `lazydisk-${randomBytes(6).toString('hex')}`;
  const client = new Client({ endPoint: host, port, useSSL: false, accessKey: ACCESS_KEY, secretKey: SECRET_KEY });
  await client.makeBucket(bucket, 'us-east-1');
  const env = {
    HOME: home,
    AWS_ACCESS_KEY_ID: ACCESS_KEY,
    AWS_SECRET_ACCESS_KEY: SECRET_KEY,
    AWS_REGION: 'us-east-1',
    AWS_ENDPOINT_URL: endpoint ?? url,
    AWS_ENDPOINT_URL_S3: undefined,
    AWS_SESSION_TOKEN: undefined,
    AWS_PROFILE: undefined,
  };
  return { kind: 's3', url: `s3://${bucket}/images`, env, folder: undefined };
}
