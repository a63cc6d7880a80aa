/**
 * A real S3 server for tests.
 *
 * When LAZYDISK_TEST_S3_ENDPOINT, LAZYDISK_TEST_S3_ACCESS_KEY and LAZYDISK_TEST_S3_SECRET_KEY are set, that running server
 * is used (make test starts one for the whole run). Otherwise one is started on a free port with its data in a new folder
 * below the system's temporary directory; `stop` ends it and removes the folder, and so does the end of the process.
 *
 * Where there is no server, tests that need one are left out, unless LAZYDISK_REQUIRE_S3=1: then they fail.
 */
import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants, readFileSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client } from 'minio';
import { freePorts } from './free-ports.js';

export interface S3Server {
  /** `http://127.0.0.1:port`. */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Makes a bucket, with a new name unless one is given, and returns its name. */
  makeBucket(name?: string): Promise<string>;
  /** Credentials and endpoint as the variables that lazydisk reads. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const SCRIPT = fileURLToPath(new URL('../tools/start-s3.sh', import.meta.url));
const run = promisify(execFile);

/** Whether S3 tests are to run: a server is given, or can be started, or its absence is to be a failure. */
export function s3IsWanted(): boolean {
  return process.env.LAZYDISK_REQUIRE_S3 === '1' || givenServer() !== undefined || isInstalled('radosgw');
}

export async function startS3(): Promise<S3Server> {
  const given = givenServer();
  if (given !== undefined) return server(given, async () => undefined);
  if (!isInstalled('radosgw')) {
    throw new Error(
      'There is no S3 server for the tests: run tests/tools/start-s3.sh install, or set LAZYDISK_TEST_S3_*.',
    );
  }

  const directory = await mkdtemp(join(tmpdir(), 'lazydisk-s3-'));
  const data = join(directory, 'data');
  const [port, monitorPort] = await freePorts(2);
  const keys = { accessKey: 'lazydisk-test', secretKey: randomBytes(16).toString('hex') };
  // A test run that is interrupted must not leave a server behind.
  const atExit = (): void => {
    spawnSync(SCRIPT, ['destroy', data]);
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', atExit);
  const stop = async (): Promise<void> => {
    await run(SCRIPT, ['destroy', data]);
    await rm(directory, { recursive: true, force: true });
    process.off('exit', atExit);
  };
  try {
    await run(SCRIPT, ['start', data, String(port)], {
      env: {
        ...process.env,
        S3_ACCESS_KEY: keys.accessKey,
        S3_SECRET_KEY: keys.secretKey,
        S3_MON_PORT: String(monitorPort),
      },
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return server({ endpoint: `http://127.0.0.1:${port}`, ...keys }, stop);
}

/** Keys of a server that tests/tools/start-s3.sh has started and that this run may change; undefined with another one. */
export const S3_KEYS =
  process.env.LAZYDISK_TEST_S3_DIRECTORY === undefined
    ? undefined
    : {
        add: (id: string, secret: string) => changeKey('add', id, secret),
        remove: (id: string) => changeKey('remove', id),
      };

/** The name below which each bucket has a host, of a server that tests/tools/start-s3.sh has started. */
export const S3_NAME = nameIn(process.env.LAZYDISK_TEST_S3_DIRECTORY);

function nameIn(directory: string | undefined): string | undefined {
  if (directory === undefined) return undefined;
  return /^rgw_dns_name = (.*)$/m.exec(readFileSync(join(directory, 'ceph.conf'), 'utf8'))?.[1];
}

async function changeKey(...words: string[]): Promise<void> {
  await run(SCRIPT, ['key', process.env.LAZYDISK_TEST_S3_DIRECTORY ?? '', ...words]);
}

type Access = Pick<S3Server, 'endpoint' | 'accessKey' | 'secretKey'>;

function givenServer(): Access | undefined {
  const {
    LAZYDISK_TEST_S3_ENDPOINT: endpoint,
    LAZYDISK_TEST_S3_ACCESS_KEY: accessKey,
    LAZYDISK_TEST_S3_SECRET_KEY: secretKey,
  } = process.env;
  return endpoint && accessKey && secretKey ? { endpoint, accessKey, secretKey } : undefined;
}

function server(access: Access, stop: () => Promise<void>): S3Server {
  const url = new URL(access.endpoint);
  const client = new Client({
    endPoint: url.hostname,
    port: Number(url.port),
    useSSL: url.protocol === 'https:',
    accessKey: access.accessKey,
    secretKey: access.secretKey,
    region: 'us-east-1',
  });
  return {
    ...access,
    async makeBucket(name = `test-${randomBytes(8).toString('hex')}`) {
      await client.makeBucket(name);
      return name;
    },
    environment: {
      AWS_ACCESS_KEY_ID: access.accessKey,
      AWS_SECRET_ACCESS_KEY: access.secretKey,
      AWS_ENDPOINT_URL_S3: access.endpoint,
      AWS_REGION: 'us-east-1',
    },
    stop,
  };
}

function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
