/**
 * Repositories for tests: a folder, or a bucket of its own on the S3 server of this run (tests/tools/run-tests.sh starts
 * one and says where it is). With LAZYDISK_REQUIRE_S3 a missing server is an error, without it those tests are skipped.
 */
import { describe } from '@jest/globals';
import { join } from 'node:path';
import { isMainPass } from './driver.js';
import { mustLazydisk } from './program.js';
import { startS3 } from './s3-server.js';
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
if (ENDPOINT === undefined && process.env['LAZYDISK_REQUIRE_S3'] === '1') {
  throw new Error('LAZYDISK_REQUIRE_S3 is set, but LAZYDISK_TEST_S3_ENDPOINT is not');
}

/** The kinds that this run can test. */
export const REPOSITORY_KINDS: readonly RepositoryKind[] =
  ENDPOINT === undefined ? ['file'] : isMainPass ? ['file', 's3'] : ['s3'];

/** `describe` for what needs the S3 server. */
export function describeS3(title: string, tests: () => void): void {
  (ENDPOINT === undefined ? describe.skip : describe)(title, tests);
}

/** Where the S3 server listens: `http://127.0.0.1:port`. */
export function s3Endpoint(): string {
  if (ENDPOINT === undefined) throw new Error('no S3 server in this run');
  return ENDPOINT;
}

/** A new, initialised repository. */
export async function createRepository(kind: RepositoryKind): Promise<TestRepository> {
  const home = temporaryFolder('home');
  const repository = kind === 'file' ? folderRepository(home) : await bucketRepository(home);
  await mustLazydisk(['init', repository.url], { env: repository.env });
  return repository;
}

/** The same S3 repository through another address: a proxy. */
export function through(repository: TestRepository, endpoint: string): TestRepository {
  return { ...repository, env: { ...repository.env, AWS_ENDPOINT_URL_S3: endpoint } };
}

function folderRepository(home: string): TestRepository {
  const folder = join(home, 'repository');
  return { kind: 'file', url: `file://${folder}`, env: { HOME: home }, folder };
}

async function bucketRepository(home: string): Promise<TestRepository> {
  const server = await startS3();
  const bucket = await server.makeBucket();
  // Nothing of the person who runs the tests: neither files nor variables.
  const env = { AWS_SESSION_TOKEN: undefined, AWS_PROFILE: undefined, AWS_ENDPOINT_URL: undefined, HOME: home };
  return { kind: 's3', url: `s3://${bucket}/images`, env: { ...env, ...server.environment }, folder: undefined };
}
