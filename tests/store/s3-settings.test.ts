import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openStore } from '../../lib/store/open-store.js';
import { parseLocation } from '../../lib/store/location.js';
import { resolveS3Settings, type S3Settings } from '../../lib/store/s3-settings.js';

let directory: string;
let environment: Record<string, string>;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lazydisk-s3-settings-'));
  environment = {
    AWS_SHARED_CREDENTIALS_FILE: join(directory, 'credentials'),
    AWS_CONFIG_FILE: join(directory, 'config'),
  };
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const file = (name: 'credentials' | 'config', ...lines: string[]): Promise<void> =>
  writeFile(join(directory, name), lines.join('\n'));
const settings = (changes: Record<string, string> = {}, endpoint?: string): Promise<S3Settings> =>
  resolveS3Settings({ ...environment, ...changes }, endpoint);

describe('the endpoint', () => {
  it('is the first of --endpoint, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the services section, the profile, Amazon', async () => {
    await file(
      'config',
      '[profile p]',
      'endpoint_url = http://profile:1',
      'services = s',
      '[services s]',
      's3 =',
      '  endpoint_url = http://services:2',
    );
    const all = { AWS_ENDPOINT_URL_S3: 'http://s3:4', AWS_ENDPOINT_URL: 'http://all:3', AWS_PROFILE: 'p' };
    expect((await settings(all, 'http://argument:5')).endpoint.url).toBe('http://argument:5');
    expect((await settings(all)).endpoint.url).toBe('http://s3:4');
    expect((await settings({ ...all, AWS_ENDPOINT_URL_S3: '' })).endpoint.url).toBe('http://all:3');
    expect((await settings({ AWS_PROFILE: 'p' })).endpoint.url).toBe('http://services:2');
    await file('config', '[profile p]', 'endpoint_url = http://profile:1');
    expect((await settings({ AWS_PROFILE: 'p' })).endpoint.url).toBe('http://profile:1');
    expect((await settings()).endpoint).toMatchObject({
      host: 's3.amazonaws.com',
      secure: true,
      isAmazon: true,
      addressing: 'virtual',
    });
  });

  it('has the bucket in the path, a port, and a region, unless it is Amazon', async () => {
    expect(await settings({}, 'https://minio.example:9000/')).toMatchObject({
      endpoint: {
        url: 'https://minio.example:9000',
        host: 'minio.example',
        port: 9000,
        secure: true,
        addressing: 'path',
      },
      region: 'us-east-1',
    });
    expect((await settings({}, 'http://host')).endpoint.port).toBe(80);
    expect((await settings({}, 'https://host')).endpoint.port).toBe(443);
    expect((await settings({}, 'http://[::1]:90')).endpoint).toMatchObject({ host: '::1', port: 90 });
    expect((await settings()).region).toBeUndefined();
  });

  it.each([
    'host:9000',
    'ftp://host',
    'http://host/path',
    'http://host?x',
    'http://user:pw@host',
    'nonsense',
    'http://',
  ])('%s is USAGE', async (endpoint) => {
    const error: unknown = await settings({}, endpoint).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('--endpoint must be http://host:port'),
    });
    expect(String(error)).not.toContain('pw@');
  });
});

describe('the region', () => {
  it('is the first of AWS_REGION, AWS_DEFAULT_REGION and the profile', async () => {
    await file('config', '[default]', 'region = c');
    expect((await settings({ AWS_REGION: 'a', AWS_DEFAULT_REGION: 'b' })).region).toBe('a');
    expect((await settings({ AWS_DEFAULT_REGION: 'b' })).region).toBe('b');
    expect((await settings({}, 'http://host')).region).toBe('c');
  });
});

describe('credentials', () => {
  const inEnvironment = { AWS_ACCESS_KEY_ID: 'ENV', AWS_SECRET_ACCESS_KEY: 'env-secret' };

  it('come from the environment before a profile, with a session token', async () => {
    await file('credentials', '[default]', 'aws_access_key_id = FILE', 'aws_secret_access_key = file-secret');
    expect(await (await settings({ ...inEnvironment, AWS_SESSION_TOKEN: 't' })).readCredentials()).toEqual({
      accessKey: 'ENV',
      secretKey: 'env-secret',
      sessionToken: 't',
    });
    expect(await (await settings()).readCredentials()).toEqual({
      accessKey: 'FILE',
      secretKey: 'file-secret',
      sessionToken: undefined,
    });
  });

  it('come from the profile that AWS_PROFILE names, in either file', async () => {
    await file('credentials', '[a]', 'aws_access_key_id = A', 'aws_secret_access_key = a/+=#', 'aws_session_token = t');
    await file('config', '[profile b]', 'aws_access_key_id = B', 'aws_secret_access_key = b');
    expect(await (await settings({ AWS_PROFILE: 'a' })).readCredentials()).toEqual({
      accessKey: 'A',
      secretKey: 'a/+=#',
      sessionToken: 't',
    });
    expect(await (await settings({ AWS_PROFILE: 'b' })).readCredentials()).toMatchObject({ accessKey: 'B' });
  });

  it('are those that stand in the file now', async () => {
    await file('credentials', '[default]', 'aws_access_key_id = OLD', 'aws_secret_access_key = s');
    const found = await settings();
    expect(await found.readCredentials()).toMatchObject({ accessKey: 'OLD' });
    await file('credentials', '[default]', 'aws_access_key_id = NEW', 'aws_secret_access_key = s');
    expect(await found.readCredentials()).toMatchObject({ accessKey: 'NEW' });
  });

  it('that are missing are REFUSED with what to set', async () => {
    await expect((await settings({}, 'http://storage:1')).readCredentials()).rejects.toMatchObject({
      code: 'REFUSED',
      message: expect.stringContaining('set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE'),
    });
    const options = { environment, endpoint: 'http://storage:1' };
    await expect(openStore(parseLocation('s3://bucket'), options)).rejects.toMatchObject({ code: 'REFUSED' });
  });

  it('of which one half is missing are REFUSED', async () => {
    const half = await settings({ AWS_ACCESS_KEY_ID: 'HALF-OF-IT' });
    await expect(half.readCredentials()).rejects.toMatchObject({
      code: 'REFUSED',
      message: 'The S3 credentials in the environment have an access key id and no secret access key: set both.',
    });
    const other = await settings({ AWS_SECRET_ACCESS_KEY: 'HALF-OF-IT' });
    await expect(other.readCredentials()).rejects.toMatchObject({
      message: 'The S3 credentials in the environment have a secret access key and no access key id: set both.',
    });
  });

  it('of a profile that does not exist are REFUSED, and the profile is named', async () => {
    await file('config', '[profile b]', 'region = x');
    await expect((await settings({ AWS_PROFILE: 'nobody' })).readCredentials()).rejects.toMatchObject({
      code: 'REFUSED',
      message: expect.stringContaining('AWS_PROFILE names nobody'),
    });
  });

  it('are not asked for when requests are not to be signed', async () => {
    expect(await (await settings({ LAZYDISK_NO_SIGN_REQUEST: '1' })).readCredentials()).toBeUndefined();
  });
});

describe('whom TLS trusts', () => {
  const CERTIFICATE = readFileSync(new URL('../fixtures/tls/certificate.pem', import.meta.url), 'utf8');

  it('is AWS_CA_BUNDLE, then the ca_bundle of the profile, then what Node trusts', async () => {
    const bundle = join(directory, 'bundle.pem');
    await writeFile(bundle, CERTIFICATE);
    expect((await settings({ AWS_CA_BUNDLE: bundle })).authorities).toBe(CERTIFICATE);
    expect((await settings()).authorities).toBeUndefined();
    await file('config', '[default]', `ca_bundle = ${bundle}`);
    expect((await settings()).authorities).toBe(CERTIFICATE);
  });

  it('is USAGE when there are no certificates', async () => {
    await expect(settings({ AWS_CA_BUNDLE: join(directory, 'missing') })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining("The certificates of AWS_CA_BUNDLE can't be read"),
    });
    await file('credentials', '[default]');
    await expect(settings({ AWS_CA_BUNDLE: join(directory, 'credentials') })).rejects.toMatchObject({
      message: expect.stringContaining('has no certificate in PEM form'),
    });
  });
});

describe('where the name of the bucket stands', () => {
  const addressing = async (changes: Record<string, string>, endpoint?: string): Promise<string> =>
    (await settings(changes, endpoint)).endpoint.addressing;

  it('is the option, then the s3 section of the profile, then virtual with Amazon and path elsewhere', async () => {
    expect(await addressing({})).toBe('virtual');
    expect(await addressing({}, 'http://storage:1')).toBe('path');
    expect(await addressing({ LAZYDISK_ADDRESSING: 'path' })).toBe('path');
    await file('config', '[default]', 's3 =', '  addressing_style = virtual');
    expect(await addressing({}, 'http://storage:1')).toBe('virtual');
    expect(await addressing({ LAZYDISK_ADDRESSING: 'auto' }, 'http://storage:1')).toBe('path');
  });

  it('is USAGE when it is no style, or when an address has no name to put the bucket before', async () => {
    await expect(settings({ LAZYDISK_ADDRESSING: 'host' })).rejects.toMatchObject({
      code: 'USAGE',
      message: '--addressing must be path, virtual or auto, not "host".',
    });
    await expect(settings({ LAZYDISK_ADDRESSING: 'virtual' }, 'http://127.0.0.1:1')).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('has an address (127.0.0.1) instead of a name'),
    });
  });
});
