/** From a location to a store. The store is raw: retrying, limits and deadlines are the caller's decorators. */
import { DirectoryStore } from './directory-store.js';
import type { StoreLocation } from './location.js';
import type { ObjectStore } from './object-store.js';
import { resolveS3Settings } from './s3-settings.js';
import { S3Store } from './s3-store.js';

export interface OpenStoreOptions {
  /** What `--endpoint` says: `http://host:port`. Means nothing to a directory. */
  readonly endpoint?: string | undefined;
  /** Default: that of the process. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
  /** Connections to open beside the first (S3StoreOptions). */
  readonly spareConnections?: number | undefined;
}

/**
 * The store at a location. No request is sent, so it may turn out to be missing at the first call. Throws USAGE for an
 * endpoint that is none, REFUSED when there are no credentials.
 */
export async function openStore(location: StoreLocation, options: OpenStoreOptions = {}): Promise<ObjectStore> {
  if (location.kind === 'file') return new DirectoryStore(location.directory);
  const settings = await resolveS3Settings(options.environment ?? process.env, options.endpoint);
  const store = new S3Store(location, settings, { spareConnections: options.spareConnections });
  // Missing credentials are told here, where the user still waits, and not at some later request.
  await store.identify();
  return store;
}
