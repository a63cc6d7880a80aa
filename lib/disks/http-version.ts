/** Which version of a file a server sends, how to ask for the rest of the same one, and whether its end can be told. Pure. */
import type { Bytes } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import { changedError } from './image-source.js';

export interface Version {
  readonly etag: string | null;
  readonly modified: string | null;
  /** Of the whole file; null: the server does not say. */
  readonly sizeBytes: Bytes | null;
  /** Where the bytes of this answer begin. */
  readonly beginsAt: Bytes;
}

export function versionOf({ status, headers }: Pick<Response, 'status' | 'headers'>): Version {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
  const length = status === 206 ? range?.[2] : headers.get('content-length');
  const sizeBytes = length === undefined || length === null || !/^\d+$/.test(length) ? null : Number(length);
  return {
    etag: headers.get('etag'),
    modified: headers.get('last-modified'),
    sizeBytes,
    beginsAt: status === 206 ? Number(range?.[1] ?? -1) : 0,
  };
}

/**
 * UNSUPPORTED: where the answer ends, nobody could say whether the file does, or the connection broke; and no checksum will tell.
 * An answer in chunks has an end of its own, but fetch takes that of the connection for it where it was to be closed.
 */
export function assertEndShows({ status, headers }: Pick<Response, 'status' | 'headers'>, name: string): void {
  const hasEnd = status === 200 && headers.has('transfer-encoding') && !/close/i.test(headers.get('connection') ?? '');
  if (hasEnd || versionOf({ status, headers }).sizeBytes !== null) return;
  throw new LazydiskError(
    'UNSUPPORTED',
    `The server of ${name} does not say how long the file is, so a part of it would look like the whole; give --sha256, and the end can be told.`,
  );
}

/** Headers of a request for what follows `position` of that version. */
export function nextRequest(position: Bytes, version: Version | null): Record<string, string> {
  // As it is: fetch would unpack it before its checksum is taken. (With a range it asks for that by itself.)
  if (position === 0) return { 'accept-encoding': 'identity' };
  const headers: Record<string, string> = { range: `bytes=${position}-` };
  // A weak ETag may not be asked for. A server that does not know the validator sends the whole file, and that is compared.
  const validator = version?.etag?.startsWith('"') === true ? version.etag : version?.modified;
  if (validator !== undefined && validator !== null) headers['if-range'] = validator;
  return headers;
}

/** CONFLICT: another version. UNSUPPORTED: nobody can know, and no checksum will tell. */
export function assertSame(before: Version, now: Version, name: string, isChecked: boolean): void {
  const differs = <T>(one: T | null, other: T | null) => one !== null && other !== null && one !== other;
  if (differs(before.etag, now.etag) || differs(before.sizeBytes, now.sizeBytes)) throw changedError(name);
  if (before.etag !== null && now.etag !== null) return;
  if (differs(before.modified, now.modified)) throw changedError(name);
  if ((before.modified !== null && now.modified !== null) || isChecked) return;
  throw new LazydiskError(
    'UNSUPPORTED',
    `The connection to ${name} broke, and its server does not say whether the rest is of the same version; give --sha256, and it goes on.`,
  );
}
