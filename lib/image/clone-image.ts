/**
 * CLONE: a new image that begins as a snapshot of another one, with one PUT in the store (lib/repository/clone.ts), or with
 * none, on this host alone, until its first commit (docs/decisions/0022-local-clones.md).
 */
import { randomId } from '../format/checksums.js';
import { clonedSize, cloneSnapshot, imageExists } from '../repository/clone.js';
import { LazydiskError } from '../util/errors.js';
import type { CloneOptions, CloneOutcome } from './api.js';
import { LocalImage } from './local-image.js';
import type { ImageParts } from './local-image.js';
import { headOfLocalClone } from './make-head.js';
import type { NamedImages } from './named-images.js';

/** As Catalogue.clone without `local`. */
export async function cloneInStore(
  parts: ImageParts,
  images: NamedImages,
  name: string,
  newName: string,
  options: CloneOptions,
): Promise<CloneOutcome> {
  const { listings, heads } = parts;
  const findNumber = async (): Promise<number> => {
    const source = await sourceOf(images, name, options);
    return options.number ?? (await source.cloneSource());
  };
  // A listing that looks for the source travels with the other questions; only a commit must be over before them.
  const number = options.commit === true ? await findNumber() : findNumber();
  const from = images.known(name)?.numberedBy ?? name;
  const record = await cloneSnapshot(heads.repository, {
    from,
    number,
    expected: options.number === undefined ? listings.lastKnown(from) : undefined,
    to: newName,
    sizeBytes: options.sizeBytes,
    writerId: heads.stateId,
    signal: options.signal,
  });
  listings.invalidate();
  return { image: newName, number: record.number, source: { image: from, number: await number } };
}

/** As Catalogue.clone with `local`. */
export async function cloneLocally(
  parts: ImageParts,
  images: NamedImages,
  name: string,
  newName: string,
  options: CloneOptions,
): Promise<CloneOutcome> {
  const source = await sourceOf(images, name, options);
  const record = await source.cloneRecord(options.number, options.signal);
  const sizeBytes = clonedSize(record, options.sizeBytes);
  const origin = source.numberedBy;
  if ((await images.find(newName, options.signal)) !== undefined) throw imageExists(newName);
  const id = randomId();
  const head = await headOfLocalClone(parts.heads, newName, id, record, origin);
  try {
    if (sizeBytes > record.sizeBytes) {
      await head.truncate(sizeBytes, options.signal);
      await head.fsync();
    }
    // Another one of this name was made since the question.
    if (images.known(newName) !== undefined) throw imageExists(newName);
  } catch (error) {
    await head.discard();
    throw error;
  }
  images.add(new LocalImage(parts, newName, id, head));
  return { image: newName, number: null, source: { image: origin, number: record.number } };
}

/** The image to clone, committed if that was asked for. NOT_FOUND. */
async function sourceOf(images: NamedImages, name: string, { commit, signal }: CloneOptions): Promise<LocalImage> {
  const source = await images.find(name, signal);
  if (source === undefined) throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`);
  if (commit === true) await source.commit({ signal });
  return source;
}
