/**
 * lazydisk as a library: no mount, no root. Two programs in one file.
 *
 *   listImages    what a repository holds
 *   writeToImage  opens the head of an image, reads and writes it, and commits: what a mount does for a guest
 *
 * In a program of your own, import from 'lazydisk' instead of '../lib/index.js'.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  chunkSource,
  type CommitOutcome,
  describeImages,
  type Image,
  limiting,
  LazydiskError,
  LocalDatabase,
  LocalNodes,
  LocalPlaces,
  noFeed,
  noWorkers,
  openCatalogue,
  openMirror,
  openRepository,
  openStore,
  parseLocation,
  type RandomId,
  retrying,
  silentLog,
} from '../lib/index.js';

const TIMEOUT_MS = 30_000;

/** One line per snapshot of a repository (`s3://bucket/prefix`, `file:///dir`). */
export async function listImages(url: string): Promise<string[]> {
  const store = retrying(limiting(await openStore(parseLocation(url))), { timeoutMs: TIMEOUT_MS });
  try {
    const images = await describeImages(await openRepository(store));
    return images.flatMap(({ image, snapshots }) =>
      snapshots.map(({ number, sizeBytes, label }) => `${image}@${String(number)} ${String(sizeBytes)} ${label ?? ''}`),
    );
  } finally {
    await store.close();
  }
}

/**
 * Writes `bytes` at `offset` of an image and commits. `stateDirectory` and `stateId` belong together: whoever writes an image
 * is known by that id, and what was written and not committed lies in that folder. So keep both, as `lazydisk mount` does.
 */
export async function writeToImage(
  url: string,
  imageName: string,
  change: { readonly offset: number; readonly bytes: Uint8Array },
  state: { readonly stateDirectory: string; readonly stateId: RandomId; readonly bootId: string },
): Promise<CommitOutcome> {
  const store = retrying(limiting(await openStore(parseLocation(url))), { timeoutMs: TIMEOUT_MS });
  const repository = await openRepository(store);
  await mkdir(state.stateDirectory, { recursive: true });
  const database = await LocalDatabase.open(join(state.stateDirectory, 'database'));
  const mirror = await openMirror({
    directory: join(state.stateDirectory, 'mirror'),
    quotaBytes: null,
    bootId: state.bootId,
    source: chunkSource(repository),
    fence: noWorkers,
    log: silentLog,
  });
  const catalogue = await openCatalogue({
    repository,
    mirror,
    database,
    ...state,
    trees: repository.trees(new LocalNodes(database, silentLog)),
    known: new LocalPlaces(database, silentLog),
    fence: noWorkers,
    planes: noFeed,
    readOnly: false,
    log: silentLog,
  });
  try {
    const image = await catalogue.find(imageName);
    if (image === undefined) throw new LazydiskError('NOT_FOUND', `There is no image ${imageName}.`);
    await writeToHead(image, change);
    return await image.commit({ label: 'written by a program' });
  } finally {
    // From the top down: each closes what it uses of the one below.
    await catalogue.close(TIMEOUT_MS);
    await mirror.close();
    await database.close();
    await store.close();
  }
}

async function writeToHead(image: Image, change: { offset: number; bytes: Uint8Array }): Promise<void> {
  const head = await image.head();
  if (head === undefined) throw new LazydiskError('READ_ONLY', `${image.name} has no head to write to.`);
  head.opened();
  await head.openForWriting(); // takes the writer's lock, or says who has it
  try {
    await head.write(change.offset, change.bytes);
    await head.fsync();
  } finally {
    head.closeForWriting();
    head.closed();
  }
}
