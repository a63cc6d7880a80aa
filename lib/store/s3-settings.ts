/**
 * Where an S3 server is and who we are to it, found where users of S3 keep it.
 *
 * Endpoint: `--endpoint`, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's `services` section, the profile's
 * `endpoint_url`, and otherwise Amazon. Region: AWS_REGION, AWS_DEFAULT_REGION, the profile's `region`. Credentials: the
 * AWS_* variables, and otherwise the profile (AWS_PROFILE or `default`) in the shared credentials and config files. The
 * environment wins over a profile that it names, as with the aws command.
 *
 * Credentials are read anew at each call of `readCredentials`, so that a store can follow files that are rotated. They
 * are in no message and no fact. Profiles that need a program, a role or a login are refused with the way around.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { loadSharedConfigFiles } from '@smithy/core/config';
import { LazydiskError } from '../util/errors.js';

/** What signs a request. Never to be logged. */
export interface S3Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken: string | undefined;
}

/** An S3 server. */
export interface S3Endpoint {
  /** For messages: `http://host:port`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** Whether the bucket stands in the path (any server) rather than in the host's name (Amazon). */
  readonly pathStyle: boolean;
}

export interface S3Settings {
  readonly endpoint: S3Endpoint;
  /** Undefined only with Amazon: then the bucket is asked. */
  readonly region: string | undefined;
  /** Throws REFUSED when there are none. */
  readCredentials(): Promise<S3Credentials>;
}

type Environment = Readonly<Record<string, string | undefined>>;
type Section = Readonly<Record<string, string | undefined>>;

interface SharedFiles {
  readonly profileName: string;
  readonly credentials: Section | undefined;
  readonly config: Section | undefined;
  /** The `services` section that the profile names. */
  readonly services: Section | undefined;
}

const AMAZON: S3Endpoint = {
  url: 'https://s3.amazonaws.com',
  host: 's3.amazonaws.com',
  port: 443,
  secure: true,
  pathStyle: false,
};

// Servers other than Amazon take any region, and this is the one that they take when they check it.
const REGION_OF_OTHER_SERVERS = 'us-east-1';

/** Ways to credentials that need a program, a login or a second service. */
const INDIRECT_CREDENTIALS = ['credential_process', 'role_arn', 'sso_session', 'sso_start_url'];

/** Finds the settings. `endpoint` is what `--endpoint` says. Throws USAGE for an endpoint that is none. */
export async function resolveS3Settings(
  environment: Environment,
  endpoint: string | undefined,
  asked: typeof loadSharedConfigFiles = loadSharedConfigFiles,
): Promise<S3Settings> {
  const files = await readSharedFiles(environment, asked);
  const server = endpointOf(
    [
      ['--endpoint', endpoint],
      ['AWS_ENDPOINT_URL_S3', environment.AWS_ENDPOINT_URL_S3],
      ['AWS_ENDPOINT_URL', environment.AWS_ENDPOINT_URL],
      ['endpoint_url of the services section', files.services?.['s3.endpoint_url']],
      [`endpoint_url of the profile ${files.profileName}`, files.config?.endpoint_url],
    ].find((candidate): candidate is [string, string] => Boolean(candidate[1])),
  );
  const region = [
    environment.AWS_REGION,
    environment.AWS_DEFAULT_REGION,
    files.config?.region,
    server === AMAZON ? undefined : REGION_OF_OTHER_SERVERS,
  ].find(Boolean);
  return {
    endpoint: server,
    region,
    readCredentials: async () => credentialsOf(environment, await readSharedFiles(environment, asked)),
  };
}

async function readSharedFiles(environment: Environment, load: typeof loadSharedConfigFiles): Promise<SharedFiles> {
  const home = join(environment.HOME || homedir(), '.aws');
  const { configFile, credentialsFile } = await load({
    filepath: environment.AWS_SHARED_CREDENTIALS_FILE || join(home, 'credentials'),
    configFilepath: environment.AWS_CONFIG_FILE || join(home, 'config'),
    // The library keeps a file for ever otherwise, and rotated credentials would not be seen.
    ignoreCache: true,
  });
  const profileName = environment.AWS_PROFILE || 'default';
  const config = configFile[profileName];
  return {
    profileName,
    credentials: credentialsFile[profileName],
    config,
    services: config?.services === undefined ? undefined : configFile[`services.${config.services}`],
  };
}

function credentialsOf(environment: Environment, files: SharedFiles): S3Credentials {
  const fromEnvironment = pair('the environment', {
    aws_access_key_id: environment.AWS_ACCESS_KEY_ID,
    aws_secret_access_key: environment.AWS_SECRET_ACCESS_KEY,
    aws_session_token: environment.AWS_SESSION_TOKEN,
  });
  if (fromEnvironment !== undefined) return fromEnvironment;
  const where = `the profile ${files.profileName}`;
  const fromFiles = pair(where, files.credentials) ?? pair(where, files.config);
  if (fromFiles !== undefined) return fromFiles;

  const indirect = INDIRECT_CREDENTIALS.find((name) => files.config?.[name] ?? files.credentials?.[name]);
  if (indirect !== undefined) {
    throw refused(
      `The profile ${files.profileName} gets its credentials by ${indirect}, which lazydisk does not do: run eval "$(aws configure export-credentials --profile ${files.profileName} --format env)" first.`,
    );
  }
  if (environment.AWS_PROFILE && files.credentials === undefined && files.config === undefined) {
    throw refused(`AWS_PROFILE names ${files.profileName}, and the shared AWS files have no such profile.`);
  }
  throw refused(
    'There are no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with a profile in ~/.aws/credentials.',
  );
}

function pair(where: string, section: Section | undefined): S3Credentials | undefined {
  const accessKey = section?.aws_access_key_id;
  const secretKey = section?.aws_secret_access_key;
  if (!accessKey && !secretKey) return undefined;
  if (!accessKey || !secretKey) {
    const [has, lacks] = accessKey ? ['access key id', 'secret access key'] : ['secret access key', 'access key id'];
    throw refused(`The S3 credentials in ${where} have an ${has} and no ${lacks}: set both.`.replace('an s', 'a s'));
  }
  return { accessKey, secretKey, sessionToken: section?.aws_session_token || undefined };
}

function endpointOf(found: readonly [string, string] | undefined): S3Endpoint {
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
    pathStyle: true,
  };
}

function refused(message: string): LazydiskError {
  return new LazydiskError('REFUSED', message);
}
