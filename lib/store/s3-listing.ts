/** Listings of a bucket through the minio client, read with distrust: one request per thousand keys. */
import type { Client } from 'minio';
import { LazydiskError } from '../util/errors.js';
import { compareKeys, keyProblem } from './keys.js';
import type { Listing, StoredObject } from './object-store.js';

const KEYS_PER_PAGE = 1000;

/** What is listed, and where. */
export interface ListedPlace {
  readonly location: string;
  readonly endpointUrl: string;
  readonly bucket: string;
  /** Of the repository: stands before each key, ends in a slash or is empty. */
  readonly keyPrefix: string;
}

/** All keys that begin with `prefix`. Throws what the client throws; UNSUPPORTED for a listing that is none. */
export async function listBucket(
  client: Client,
  place: ListedPlace,
  prefix: string,
  delimiter: '/' | undefined,
): Promise<Listing> {
  const objects: StoredObject[] = [];
  const prefixes = new Set<string>();
  const ask = place.keyPrefix + prefix;
  for (let token = ''; ;) {
    const page = await client.listObjectsV2Query(place.bucket, ask, token, delimiter ?? '', KEYS_PER_PAGE, '');
    for (const item of page.objects) {
      const full = item.name ?? item.prefix;
      // A server that answers more than was asked must not lead us to keys outside the repository.
      if (!full?.startsWith(ask)) continue;
      const key = full.slice(place.keyPrefix.length);
      if (item.name === undefined) prefixes.add(key);
      else if (keyProblem(key) === undefined) objects.push(storedObject(place, key, item.size, item.lastModified));
    }
    if (!page.isTruncated) break;
    // The client's XML parser makes a number of a token that looks like one.
    const next = String(page.nextContinuationToken);
    if (next === '' || next === token) throw badListing(place, 'does not go on after its first part');
    token = next;
  }
  objects.sort((a, b) => compareKeys(a.key, b.key));
  return { objects, prefixes: [...prefixes].sort(compareKeys) };
}

function storedObject(place: ListedPlace, key: string, size: unknown, lastModified: unknown): StoredObject {
  const sizeBytes = Number(size);
  const modifiedMs = lastModified instanceof Date ? lastModified.getTime() : Number.NaN;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || !Number.isFinite(modifiedMs)) {
    throw badListing(place, `gives no size or no time for ${key}`);
  }
  return { key, sizeBytes, modifiedMs };
}

function badListing({ endpointUrl, location }: ListedPlace, problem: string): LazydiskError {
  return new LazydiskError('UNSUPPORTED', `The listing that ${endpointUrl} gave ${problem}.`, { facts: { location } });
}
