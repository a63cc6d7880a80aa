/**
 * Where an S3 server is and how it is spoken to, found where users of S3 keep it. Who we are to it: s3-credentials.ts.
 *
 * Endpoint: `--endpoint`, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's `services` section, the profile's
 * `endpoint_url`, and otherwise Amazon. Region: AWS_REGION, AWS_DEFAULT_REGION, the profile's `region`. Whom TLS trusts:
 * AWS_CA_BUNDLE, the profile's `ca_bundle`, otherwise Node's own list. Where the bucket's name stands: `--addressing`
 * (LAZYDISK_ADDRESSING), the profile's `s3` section, and otherwise in the host's name with Amazon and in the path elsewhere.
 * The environment wins over a profile that it names, as with the aws command.
 */
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { loadSharedConfigFiles } from '@smithy/core/config';
import { LazydiskError, messageOf } from '../util/errors.js';
import { readS3Credentials, type S3Credentials } from './s3-credentials.js';
import { readProfile, type Environment, type Profile } from './s3-profile.js';

/** An S3 server. */
export interface S3Endpoint {
  /** For messages: `http://host:port`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  readonly isAmazon: boolean;
  /** Where the bucket's name stands: first in the path, or first in the host's name. */
  readonly addressing: AddressingStyle;
}

export type AddressingStyle = 'path' | 'virtual';
export const ADDRESSING_STYLES: readonly AddressingStyle[] = ['path', 'virtual'];

export interface S3Settings {
  readonly endpoint: S3Endpoint;
  /** Undefined only with Amazon: then the bucket is asked. */
  readonly region: string | undefined;
  /** Certificates of authorities, as PEM; undefined: those that Node trusts. */
  readonly authorities: string | undefined;
  /** Throws REFUSED when there are none; undefined: requests are not signed. */
  readCredentials(): Promise<S3Credentials | undefined>;
}

const AMAZON = { url: 'https://s3.amazonaws.com', host: 's3.amazonaws.com', port: 443, secure: true };

// Servers other than Amazon take any region, and this is the one that they take when they check it.
const REGION_OF_OTHER_SERVERS = 'us-east-1';

/**
 * Finds the settings. `endpoint` is what `--endpoint` says. Throws USAGE for an endpoint, an addressing style or a bundle of
 * certificates that is none.
 */
export async function resolveS3Settings(
  environment: Environment,
  endpoint: string | undefined,
  load: typeof loadSharedConfigFiles = loadSharedConfigFiles,
): Promise<S3Settings> {
  const profile = await readProfile(environment, load);
  const server = serverOf(
    [
      ['--endpoint', endpoint],
      ['AWS_ENDPOINT_URL_S3', environment.AWS_ENDPOINT_URL_S3],
      ['AWS_ENDPOINT_URL', environment.AWS_ENDPOINT_URL],
      ['endpoint_url of the services section', profile.services?.['s3.endpoint_url']],
      [`endpoint_url of the profile ${profile.name}`, profile.config?.endpoint_url],
    ].find((candidate): candidate is [string, string] => Boolean(candidate[1])),
  );
  const isAmazon = server === AMAZON;
  const region = [
    environment.AWS_REGION,
    environment.AWS_DEFAULT_REGION,
    profile.config?.region,
    isAmazon ? undefined : REGION_OF_OTHER_SERVERS,
  ].find(Boolean);
  return {
    endpoint: { ...server, isAmazon, addressing: addressingOf(environment, profile, server.host, isAmazon) },
    region,
    authorities: await authoritiesOf(environment, profile),
    readCredentials: () =>
      environment.LAZYDISK_NO_SIGN_REQUEST === '1'
        ? Promise.resolve(undefined)
        : readS3Credentials({ environment, load, isAmazon, region }),
  };
}

function addressingOf(environment: Environment, profile: Profile, host: string, isAmazon: boolean): AddressingStyle {
  const preset = isAmazon ? 'virtual' : 'path';
  const [source, asked] = [
    ['--addressing', environment.LAZYDISK_ADDRESSING],
    [`s3.addressing_style of the profile ${profile.name}`, profile.config?.['s3.addressing_style']],
  ].find((candidate): candidate is [string, string] => Boolean(candidate[1])) ?? ['', 'auto'];
  if (asked === 'auto') return preset;
  const style = ADDRESSING_STYLES.find((known) => known === asked);
  if (style === undefined) {
    throw new LazydiskError('USAGE', `${source} must be path, virtual or auto, not ${JSON.stringify(asked)}.`);
  }
  if (style === 'virtual' && net.isIP(host) !== 0) {
    throw new LazydiskError(
      'USAGE',
      `${source} is virtual, which puts the bucket before the host's name, and the endpoint has an address (${host}) instead of a name.`,
    );
  }
  return style;
}

async function authoritiesOf(environment: Environment, profile: Profile): Promise<string | undefined> {
  const [source, path] = [
    ['AWS_CA_BUNDLE', environment.AWS_CA_BUNDLE],
    [`ca_bundle of the profile ${profile.name}`, profile.config?.ca_bundle],
  ].find((candidate): candidate is [string, string] => Boolean(candidate[1])) ?? ['', undefined];
  if (path === undefined) return undefined;
  try {
    const text = await readFile(path, 'utf8');
    if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  } catch (error) {
    throw new LazydiskError('USAGE', `The certificates of ${source} can't be read: ${messageOf(error)}.`, {
      cause: error,
    });
  }
  throw new LazydiskError('USAGE', `${source} names ${path}, which has no certificate in PEM form.`);
}

function serverOf(found: readonly [string, string] | undefined): typeof AMAZON {
  if (found === undefined) return AMAZON;
  const [source, text] = found;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const good =
    url !== undefined &&
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.username === '' &&
    url.password === '' &&
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === '';
  if (!good) {
    // The text is not repeated: it may hold a password.
    throw new LazydiskError(
      'USAGE',
      `The endpoint from ${source} must be http://host:port or https://host:port, without path, user or password.`,
    );
  }
  const secure = url.protocol === 'https:';
  return {
    url: url.origin,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    secure,
  };
}
