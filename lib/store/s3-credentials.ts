/**
 * Who we are to an S3 server, found where users of S3 keep it, in the order of the aws command:
 *
 *   1. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN)
 *   2. keys of the profile in the shared credentials file, then in the config file
 *   3. what the profile names instead of keys: a program, a role, a login, a token
 *   4. AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, then the container's service
 *   5. the instance's service; only with Amazon, or when AWS_EC2_METADATA_SERVICE_ENDPOINT names one: elsewhere nobody answers
 *      there, and a mistake in a name would take a second to be told
 *
 * 3 to 5 are Amazon's own library, which is loaded for them alone; it takes their variables from the process. Everything is read
 * anew at each call. Credentials are in no message and no fact; what a library or a program says of its failure is cut to a line.
 */
import type { loadSharedConfigFiles } from '@smithy/core/config';
import { LazydiskError, messageOf } from '../util/errors.js';
import { readProfile, type Environment, type Profile, type Section } from './s3-profile.js';

/** What signs a request. Never to be logged. */
export interface S3Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken: string | undefined;
  /** Milliseconds since 1970; undefined: they hold until somebody changes them. */
  readonly expiresAtMs?: number | undefined;
}

/** In a profile, ways to credentials that are not keys; the first that is there is named when it fails. */
const INDIRECT = [
  'credential_process',
  'role_arn',
  'web_identity_token_file',
  'sso_session',
  'sso_start_url',
  'login_session',
];

/** In the environment of the process, ways to credentials that a platform sets for its programs. */
const AMBIENT = [
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_CONTAINER_CREDENTIALS_FULL_URI',
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  'AWS_EC2_METADATA_SERVICE_ENDPOINT',
];

export interface CredentialsSource {
  readonly environment: Environment;
  /** How the shared files are read. */
  readonly load: typeof loadSharedConfigFiles;
  /** Whether the server is Amazon's. */
  readonly isAmazon: boolean;
  readonly region: string | undefined;
}

/** REFUSED: there are none, half of them, or the way to them failed. */
export async function readS3Credentials(source: CredentialsSource): Promise<S3Credentials> {
  const { environment, isAmazon } = source;
  const fromEnvironment = pair('the environment', {
    aws_access_key_id: environment.AWS_ACCESS_KEY_ID,
    aws_secret_access_key: environment.AWS_SECRET_ACCESS_KEY,
    aws_session_token: environment.AWS_SESSION_TOKEN,
  });
  if (fromEnvironment !== undefined) return fromEnvironment;

  const profile = await readProfile(environment, source.load);
  const { name, credentials, config } = profile;
  const where = `the profile ${name}`;
  const fromFiles = pair(where, credentials) ?? pair(where, config);
  if (fromFiles !== undefined) return fromFiles;
  if (environment.AWS_PROFILE && credentials === undefined && config === undefined) {
    throw refused(`AWS_PROFILE names ${name}, and the shared AWS files have no such profile.`);
  }

  const indirect = INDIRECT.find((key) => config?.[key] ?? credentials?.[key]);
  if (indirect !== undefined) {
    return provided(`The profile ${name} gets its credentials by ${indirect}`, async () =>
      (await import('@aws-sdk/credential-provider-ini')).fromIni(optionsOf(source, profile))(),
    );
  }
  const ambient = AMBIENT.find((key) => environment[key]);
  if (ambient === undefined && (!isAmazon || environment.AWS_EC2_METADATA_DISABLED === 'true')) throw none();
  return provided(ambient === undefined ? undefined : `The credentials come from ${ambient}`, async () =>
    (await import('@aws-sdk/credential-provider-node')).defaultProvider(optionsOf(source, profile))(),
  );
}

/** For Amazon's library. The profile is named, so that it does not look for keys in the environment, which are none of ours here. */
function optionsOf({ region }: CredentialsSource, { name, credentialsFile, configFile, config }: Profile) {
  return {
    profile: name,
    filepath: credentialsFile,
    configFilepath: configFile,
    ignoreCache: true,
    clientConfig: { region: region ?? config?.region ?? 'us-east-1' },
  };
}

/** Credentials as Amazon's library has them. */
interface Provided {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  readonly expiration?: Date | undefined;
}

/** What Amazon's library finds. `way` begins the sentence of its failure; undefined: nobody promised that there are any. */
async function provided(way: string | undefined, provide: () => Promise<Provided>): Promise<S3Credentials> {
  try {
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await provide();
    return {
      accessKey: accessKeyId,
      secretKey: secretAccessKey,
      sessionToken,
      expiresAtMs: expiration?.getTime(),
    };
  } catch (error) {
    // Not kept as a cause: nobody knows what a program printed.
    throw way === undefined ? none() : refused(`${way}, and that failed: ${lastLine(messageOf(error))}.`);
  }
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

function none(): LazydiskError {
  return refused(
    'There are no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with a profile in ~/.aws/credentials; for a public bucket, --no-sign-request.',
  );
}

/** The end of what a program or a library said: the first line of a failed program repeats its command, which may hold a secret. */
function lastLine(message: string): string {
  const lines = message.trim().split(/\s*\n\s*/);
  const line = (lines.at(-1) ?? '').replace(/^Command failed:.*/, 'the program failed').replace(/\.$/, '');
  return line.length > 200 ? `${line.slice(0, 200)}\u2026` : line;
}

function refused(message: string): LazydiskError {
  return new LazydiskError('REFUSED', message);
}
