/**
 * The S3 server of the benchmark, and a plain client for it: the few requests that preparation and the plain parallel upload
 * need, signed (Signature Version 4, payload unsigned), each over a kept connection. It is no part of the product on
 * purpose: the product is measured against it.
 */
import { createHash, createHmac } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join, resolve } from 'node:path';
import { freePorts } from '../helpers/free-ports.js';
import { must, type Workspace } from './workspace.js';

export interface S3Access {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

const TOOL = resolve('tests/tools/start-s3.sh');
/** Sparse. Both images in the forms of all peers are 20 GiB. */
const SERVER_DISK_BYTES = 64 * 1024 ** 3;
const REGION = 'us-east-1';

/**
 * The server that LAZYDISK_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY name; else one whose data is kept in `folder` between
 * runs, so that images are uploaded once. It is stopped when the run ends.
 */
export async function startS3(workspace: Workspace, folder: string): Promise<S3Access> {
  const {
    LAZYDISK_TEST_S3_ENDPOINT: endpoint,
    LAZYDISK_TEST_S3_ACCESS_KEY: accessKey,
    LAZYDISK_TEST_S3_SECRET_KEY: secretKey,
  } = process.env;
  if (endpoint && accessKey && secretKey) return { endpoint, accessKey, secretKey };

  mkdirSync(folder, { recursive: true });
  const data = join(folder, 's3');
  // The server's configuration names its ports, so they stay what they were.
  const portFile = join(folder, 's3-ports');
  if (!existsSync(portFile)) writeFileSync(portFile, (await freePorts(2)).join(' '));
  const [port = '', monitorPort = ''] = readFileSync(portFile, 'utf8').split(' ');
  const keys = { accessKey: 'lazydisk-bench', secretKey: 'lazydisk-bench-secret' };
  await must(TOOL, ['install']);
  workspace.undoLater(() => must(TOOL, ['stop', data, port]));
  await must(TOOL, ['start', data, port], {
    env: {
      S3_ACCESS_KEY: keys.accessKey,
      S3_SECRET_KEY: keys.secretKey,
      S3_MON_PORT: monitorPort,
      S3_DISK_BYTES: String(SERVER_DISK_BYTES),
    },
  });
  return { endpoint: `http://127.0.0.1:${port}`, ...keys };
}

/** What lazydisk reads of the environment, and nothing of the person who runs this. */
export function lazydiskEnvironment(access: S3Access, home: string): Record<string, string | undefined> {
  return {
    AWS_ACCESS_KEY_ID: access.accessKey,
    AWS_SECRET_ACCESS_KEY: access.secretKey,
    AWS_ENDPOINT_URL_S3: access.endpoint,
    AWS_REGION: REGION,
    AWS_SESSION_TOKEN: undefined,
    AWS_PROFILE: undefined,
    AWS_ENDPOINT_URL: undefined,
    HOME: home,
  };
}

export interface PlainClient {
  makeBucket(bucket: string): Promise<void>;
  exists(bucket: string, key: string): Promise<boolean>;
  put(bucket: string, key: string, body: Uint8Array): Promise<void>;
  close(): void;
}

export function plainClient(access: S3Access, connections = 8): PlainClient {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const send = async (method: string, path: string, body: Uint8Array = new Uint8Array()): Promise<number> =>
    new Promise((resolve, reject) => {
      const request = http.request(`${access.endpoint}${path}`, {
        agent,
        method,
        headers: { ...sign(access, method, path, new Date()), 'content-length': body.length },
      });
      request.on('error', reject);
      request.on('response', (response) => {
        response.resume();
        response.on('end', () => {
          resolve(response.statusCode ?? 0);
        });
      });
      request.end(body);
    });
  const mustSend = async (method: string, path: string, body?: Uint8Array): Promise<void> => {
    const status = await send(method, path, body);
    if (status < 200 || status > 299) throw new Error(`${method} ${path}: ${String(status)}`);
  };
  return {
    makeBucket: (bucket) => mustSend('PUT', `/${bucket}`),
    exists: async (bucket, key) => (await send('HEAD', `/${bucket}/${key}`)) === 200,
    put: (bucket, key, body) => mustSend('PUT', `/${bucket}/${key}`, body),
    close: () => {
      agent.destroy();
    },
  };
}

/** The headers that sign a request without a query. Keys need no escaping: we choose them. */
function sign(access: S3Access, method: string, path: string, now: Date): Record<string, string> {
  const time = now.toISOString().replace(/[-:]|\.\d{3}/g, '');
  const scope = `${time.slice(0, 8)}/${REGION}/s3/aws4_request`;
  const headers = {
    host: new URL(access.endpoint).host,
    'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
    'x-amz-date': time,
  };
  const names = Object.keys(headers).join(';');
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const canonical = [method, path, '', lines.join(''), names, 'UNSIGNED-PAYLOAD'].join('\n');
  const text = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  const hmac = (key: string | Buffer, value: string): Buffer => createHmac('sha256', key).update(value).digest();
  const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${access.secretKey}`);
  const credential = `Credential=${access.accessKey}/${scope}`;
  const signature = `Signature=${hmac(key, text).toString('hex')}`;
  return { ...headers, authorization: `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names}, ${signature}` };
}
