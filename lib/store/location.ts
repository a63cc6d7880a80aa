/**
 * Where a repository is, as a value: `s3://bucket/prefix` or `file:///dir`.
 *
 * Parsing and printing are inverse to each other, so that a state directory can record a location and find it again. A
 * location never holds credentials: a URL with a user or a password is refused, and not repeated in the message.
 */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { LazydiskError } from '../util/errors.js';
import { keyProblem } from './keys.js';

export interface S3Location {
  readonly kind: 's3';
  readonly bucket: string;
  /** Without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
}

export interface FileLocation {
  readonly kind: 'file';
  /** Absolute. */
  readonly directory: string;
}

export type StoreLocation = S3Location | FileLocation;

// The naming rules of S3 for buckets made since 2018, which other servers share.
const BUCKET_NAME = /^(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):/;

/** Parses what a user wrote. Throws USAGE with what was expected. */
export function parseLocation(text: string): StoreLocation {
  const scheme = SCHEME.exec(text)?.[1]?.toLowerCase();
  if (scheme === 's3') return parseS3(text);
  if (scheme === 'file') return parseFile(text);
  if (scheme !== undefined && text.startsWith(`${scheme}://`)) {
    throw usage(`A repository is s3://bucket/prefix or file:///directory; there is no store for ${scheme}://.`);
  }
  if (text === '') throw usage('A repository is s3://bucket/prefix or file:///directory, not an empty word.');
  throw usage(
    `${JSON.stringify(text)} is a path, and a repository is a URL: write ${pathToFileURL(resolve(text)).href} for this directory, or s3://bucket/prefix.`,
  );
}

/** The URL of a location; `parseLocation` of it gives the location again. */
export function formatLocation(location: StoreLocation): string {
  if (location.kind === 'file') return pathToFileURL(location.directory).href;
  return location.prefix === '' ? `s3://${location.bucket}` : `s3://${location.bucket}/${location.prefix}`;
}

function parseS3(text: string): S3Location {
  const rest = text.slice('s3:'.length);
  if (!rest.startsWith('//')) throw usage('An S3 repository is written s3://bucket/prefix, with two slashes.');
  const [bucket = '', ...names] = rest.slice(2).split('/');
  if (/[@:]/.test(bucket)) {
    throw usage(
      'An S3 repository is written s3://bucket/prefix: credentials come from the environment or the shared AWS files, the server from --endpoint.',
    );
  }
  if (!BUCKET_NAME.test(bucket)) {
    throw usage(
      `${JSON.stringify(bucket)} can't be the name of a bucket: 3 to 63 lower-case letters, digits, dots and dashes.`,
    );
  }
  const prefix = names.join('/').replace(/\/$/, '');
  const problem = prefix === '' ? undefined : keyProblem(prefix);
  if (problem !== undefined) throw usage(`${JSON.stringify(prefix)} can't be a prefix in a bucket: ${problem}.`);
  return { kind: 's3', bucket, prefix };
}

function parseFile(text: string): FileLocation {
  const example = 'write file:///directory, with three slashes and the whole path';
  if (!/^file:\/\/\//i.test(text)) {
    throw usage(`${JSON.stringify(text)} names no directory of this host: ${example}.`);
  }
  if (/[?#]/.test(text)) {
    throw usage(
      `${JSON.stringify(text)} has a ? or # in it: write %3F or %23 when it belongs to the directory's name.`,
    );
  }
  try {
    return { kind: 'file', directory: resolve(fileURLToPath(text)) };
  } catch (error) {
    throw new LazydiskError(
      'USAGE',
      `${JSON.stringify(text)} is no good file URL: ${example}; a % in a name is written %25.`,
      { cause: error },
    );
  }
}

function usage(message: string): LazydiskError {
  return new LazydiskError('USAGE', message);
}
