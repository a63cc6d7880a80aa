/** Stacks what verbs need of a repository: the store, counted, limited and tried again, and the repository on it. */
import { SEGMENTS_PREFIX } from '../../lib/format/keys.js';
import { openRepository } from '../../lib/repository/repository.js';
import type { StoredRepository } from '../../lib/repository/stored-repository.js';
import { limiting } from '../../lib/store/limiting.js';
import { formatLocation, parseLocation } from '../../lib/store/location.js';
import type { ObjectStore } from '../../lib/store/object-store.js';
import { openStore } from '../../lib/store/open-store.js';
import { pacing } from '../../lib/store/pacing.js';
import { retrying } from '../../lib/store/retrying.js';
import { resolveS3Settings } from '../../lib/store/s3-settings.js';
import { messageOf } from '../../lib/util/errors.js';
import { CountingStore, type OnStoreCall } from '../service/counting-store.js';
import type { RepositoryAddress } from './where.js';

/** A repository's URL in its one spelling, and the S3 server that it is on when that is not Amazon. */
export interface ResolvedAddress {
  readonly url: string;
  readonly endpoint: string | null;
}

/** USAGE: no URL of a repository, no good endpoint. */
export async function resolveAddress(
  { url, endpoint }: RepositoryAddress,
  environment: NodeJS.ProcessEnv,
): Promise<ResolvedAddress> {
  const location = parseLocation(url);
  if (location.kind === 'file') return { url: formatLocation(location), endpoint: null };
  const { endpoint: server } = await resolveS3Settings(environment, endpoint);
  return { url: formatLocation(location), endpoint: server.isAmazon ? null : server.url };
}

/** The raw store of an address, counted and limited. `withTimeout` gives views of it that try again for so long. */
export interface StackedStore {
  readonly counted: CountingStore;
  /** Milliseconds; 0: for ever. */
  withTimeout(timeoutMs: number): ObjectStore;
  /** Closes the store, with all its views. */
  close(): Promise<void>;
}

export interface StackOptions {
  readonly environment: NodeJS.ProcessEnv;
  /** Bytes of segments, for each view; null, the default: no limit. */
  readonly maxUploadBytesPerSecond?: number | null | undefined;
  /** As `openStore` has it. */
  readonly spareConnections?: number | undefined;
  /** Told of each attempt that will be made again, as facts for the log. */
  readonly onRetry?: (facts: Readonly<Record<string, unknown>>) => void;
  /** Told of every request, tries included. */
  readonly onCall?: OnStoreCall | undefined;
}

/** USAGE, REFUSED (no credentials). No request is sent. */
export async function stackStore(
  address: RepositoryAddress,
  { environment, maxUploadBytesPerSecond = null, spareConnections, onRetry = () => undefined, onCall }: StackOptions,
): Promise<StackedStore> {
  const store = await openStore(parseLocation(address.url), {
    endpoint: address.endpoint,
    environment,
    spareConnections,
  });
  const counted = new CountingStore(store, onCall);
  const limited = limiting(counted);
  return {
    counted,
    close: () => limited.close(),
    withTimeout: (timeoutMs) => {
      const persistent = retrying(limited, {
        timeoutMs,
        onRetry: ({ operation, key, attempts, delayMs, error }) => {
          onRetry({ operation, key, attempts, delayMs: Math.round(delayMs), error: messageOf(error) });
        },
      });
      if (maxUploadBytesPerSecond === null) return persistent;
      return pacing(persistent, {
        bytesPerSecond: maxUploadBytesPerSecond,
        isPaced: (key) => key.startsWith(SEGMENTS_PREFIX),
      });
    },
  };
}

/** What `withRepository` needs to know. */
export interface StoreUse extends StackOptions {
  readonly timeoutMs: number;
}

/** Opens the store, lends it, closes it. */
export async function withStore<T>(
  address: RepositoryAddress,
  storeUse: StoreUse,
  use: (store: ObjectStore) => Promise<T>,
): Promise<T> {
  const store = (await stackStore(address, storeUse)).withTimeout(storeUse.timeoutMs);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Opens the repository, lends it, closes it. NOT_FOUND: there is none. */
export function withRepository<T>(
  address: RepositoryAddress,
  storeUse: StoreUse,
  use: (repository: StoredRepository) => Promise<T>,
): Promise<T> {
  return withStore(address, storeUse, async (store) => use(await openRepository(store)));
}
