/**
 * One page of a listing (ListObjectsV2), read with distrust: what to ask, and what the answer says.
 *
 * Keys come in percent form (`encoding-type=url`), since XML can't hold every key. Objects outside what was asked, and names
 * that are no keys of ours, are passed over; a listing that gives no size or time for a key of ours, or says that there is
 * more and not where, is no listing (UNSUPPORTED): an object that is not seen would be taken for one that is not there.
 */
import { LazydiskError } from '../util/errors.js';
import { keyProblem } from './keys.js';
import type { StoredObject } from './object-store.js';
import { encodeQuery } from './s3-signature.js';
import { elements, textOf } from './s3-xml.js';

const KEYS_PER_PAGE = 1000;

/** What is listed, and where. */
export interface ListedPlace {
  readonly location: string;
  readonly endpointUrl: string;
  /** Of the repository: stands before each key, ends in a slash or is empty. */
  readonly keyPrefix: string;
  /** Relative to it. */
  readonly prefix: string;
  readonly delimiter: '/' | undefined;
}

export interface ListingPage {
  readonly objects: readonly StoredObject[];
  readonly prefixes: readonly string[];
  /** Where to go on; undefined at the end. */
  readonly next: string | undefined;
}

/** The query of the page that begins at `token` (empty: the first). */
export function pageQuery({ keyPrefix, prefix, delimiter }: ListedPlace, token: string): string {
  return encodeQuery({
    ...(token === '' ? {} : { 'continuation-token': token }),
    ...(delimiter === undefined ? {} : { delimiter }),
    'encoding-type': 'url',
    'list-type': '2',
    'max-keys': String(KEYS_PER_PAGE),
    prefix: keyPrefix + prefix,
  });
}

/** What the document says. An Error (trouble on the way) when it is not a whole listing. */
export function parsePage(xml: string, place: ListedPlace, token: string): ListingPage {
  if (!/<ListBucketResult[\s>]/.test(xml) || !xml.trimEnd().endsWith('</ListBucketResult>')) {
    throw new Error('the answer is not a whole listing');
  }
  const ask = place.keyPrefix + place.prefix;
  const objects: StoredObject[] = [];
  const prefixes: string[] = [];
  for (const entry of elements(xml, 'Contents')) {
    const key = keyBelow(ask, place, textOf(entry, 'Key'));
    if (key !== undefined && keyProblem(key) === undefined) objects.push(storedObject(entry, place, key));
  }
  for (const entry of elements(xml, 'CommonPrefixes')) {
    const prefix = keyBelow(ask, place, textOf(entry, 'Prefix'));
    if (prefix !== undefined) prefixes.push(prefix);
  }
  if (textOf(xml, 'IsTruncated') !== 'true') return { objects, prefixes, next: undefined };
  const next = textOf(xml, 'NextContinuationToken') ?? '';
  if (next === '' || next === token) throw badListing(place, 'does not go on after its first part');
  return { objects, prefixes, next };
}

/** Without the repository's prefix; undefined for what a server has no business to show. */
function keyBelow(ask: string, place: ListedPlace, encoded: string | undefined): string | undefined {
  if (encoded === undefined) throw badListing(place, 'has an entry without a name');
  let full: string;
  try {
    full = decodeURIComponent(encoded.replaceAll('+', ' '));
  } catch {
    throw badListing(place, 'has a name that is not in percent form');
  }
  return full.startsWith(ask) ? full.slice(place.keyPrefix.length) : undefined;
}

function storedObject(entry: string, place: ListedPlace, key: string): StoredObject {
  const size = textOf(entry, 'Size') ?? '';
  const modifiedMs = Date.parse(textOf(entry, 'LastModified') ?? '');
  if (!/^\d{1,15}$/.test(size) || !Number.isFinite(modifiedMs)) {
    throw badListing(place, `gives no size or no time for ${key}`);
  }
  return { key, sizeBytes: Number(size), modifiedMs };
}

function badListing({ endpointUrl, location }: ListedPlace, problem: string): LazydiskError {
  return new LazydiskError('UNSUPPORTED', `The listing that ${endpointUrl} gave ${problem}.`, { facts: { location } });
}
