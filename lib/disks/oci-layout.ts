/**
 * An OCI image layout in a folder: from index.json through indexes and a manifest to the layers of one image.
 *
 * Nobody vouches for the folder. A blob is named by a digest and nothing else, so no path leads out of blobs/; a link is not
 * followed out of the layout; a blob is compared with its size and digest before anything of it is used, and a layer, which is read twice,
 * again while it is used.
 */
import { constants } from 'node:fs';
import { lstat, open, realpath, type FileHandle } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { Bytes } from '../format/geometry.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';
import type { Intake } from './image-source.js';
import { hashed, streamInput, taken, type Input } from './input.js';
import { chooseImage, choosePlatform, isFor, platformName, shown, type WantedPlatform } from './oci-choice.js';
import * as documents from './oci-documents.js';
import type { Descriptor, Packing } from './oci-documents.js';

/** An index in an index is allowed; a chain of them is a trap. */
const MAX_INDEXES = 4;
const PIECE_BYTES = 1024 * 1024;

/** A layer of the image, not yet looked at. */
export interface Layer {
  readonly descriptor: Descriptor;
  readonly packing: Packing;
  /** For messages: `layer 2 of 3 (sha256:…)`. */
  readonly title: string;
}

/** Whether a folder is an image of containers rather than a tree of files. */
export async function isOciLayout(folder: string): Promise<boolean> {
  return lstat(join(folder, 'oci-layout')).then(
    (found) => found.isFile(),
    (error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return false;
      throw error;
    },
  );
}

/** A layout. `name`: what it is called in messages. */
export class OciLayout {
  constructor(
    private readonly folder: string,
    private readonly name: string,
    private readonly signal?: AbortSignal | undefined,
  ) {}

  /**
   * The layers of an image, the lowest first. USAGE (several images), NOT_FOUND (no such image, none for that machine), UNSUPPORTED (not
   * an image of files, or a layer of an unknown kind), DAMAGED (a blob is missing or another, a document is wrong), IO.
   */
  async layers(reference: string | undefined, wanted: WantedPlatform): Promise<Layer[]> {
    documents.parseLayout(await this.#file('oci-layout'), `${this.name}/oci-layout`);
    const top = documents.parseIndex(await this.#file('index.json'), `${this.name}/index.json`);
    let found = choosePlatform(chooseImage(top.manifests, reference, this.name), wanted, this.name);
    let isKnownPlatform = found.platform !== undefined;
    for (let indexes = 0; documents.INDEX_TYPES.includes(found.mediaType); indexes++) {
      if (indexes === MAX_INDEXES) throw this.#damaged(`has more than ${MAX_INDEXES} indexes in one another`);
      const inner = documents.parseIndex(await this.#document(found), this.#nameOf(found));
      found = choosePlatform(inner.manifests, wanted, this.name);
      isKnownPlatform = found.platform !== undefined;
    }
    if (!documents.MANIFEST_TYPES.includes(found.mediaType)) throw this.#unsupported('an entry', found.mediaType);
    const { config, layers } = documents.parseManifest(await this.#document(found), this.#nameOf(found));
    if (!documents.CONFIG_TYPES.includes(config.mediaType)) throw this.#unsupported('a content', config.mediaType);
    if (wanted.isAsked && !isKnownPlatform) await this.#assertPlatform(config, wanted);
    return layers.map((descriptor, at) => {
      const packing = documents.packingOf(descriptor.mediaType);
      if (packing === undefined) throw this.#unsupported('a layer', descriptor.mediaType);
      const title = `layer ${at + 1} of ${layers.length} of ${this.name} (${descriptor.digest})`;
      return { descriptor, packing, title };
    });
  }

  /** The bytes of a layer as it is packed: checked before, and again on the way, of which `onIntake` tells. DAMAGED, IO, ABORTED. */
  async openLayer({ descriptor }: Layer, onIntake: (intake: Intake) => void): Promise<Input> {
    const file = await this.#open(descriptor);
    try {
      for await (const piece of this.#read(file, descriptor, false)) void piece;
      return this.#read(file, descriptor, true, onIntake);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** From the beginning, to an error where it is not what `descriptor` says. */
  #read(file: FileHandle, descriptor: Descriptor, autoClose: boolean, onIntake?: (intake: Intake) => void): Input {
    const { size } = descriptor;
    const name = this.#nameOf(descriptor);
    const stream = file.createReadStream({ start: 0, end: size - 1, highWaterMark: PIECE_BYTES, autoClose });
    return hashed(
      taken(streamInput(stream, name), size, { signal: this.signal, onIntake }),
      name,
      documents.checksumOf(descriptor),
    );
  }

  /** All of a small blob. */
  async #document(descriptor: Descriptor): Promise<Buffer> {
    const { size } = descriptor;
    if (size > documents.MAX_DOCUMENT_BYTES) {
      throw this.#damaged(`names a document of ${size} bytes (${descriptor.digest}); no index or manifest is so large`);
    }
    const file = await this.#open(descriptor);
    try {
      const pieces: Buffer[] = [];
      for await (const piece of this.#read(file, descriptor, false)) pieces.push(piece);
      return Buffer.concat(pieces);
    } finally {
      await file.close();
    }
  }

  async #open(descriptor: Descriptor): Promise<FileHandle> {
    const { algorithm, hex } = documents.checksumOf(descriptor);
    const { file, sizeBytes } = await this.#regularFile(join('blobs', algorithm, hex));
    if (sizeBytes === descriptor.size) return file;
    await file.close();
    throw this.#damaged(
      `has a blob of another length: ${descriptor.digest} has ${sizeBytes} bytes, not ${descriptor.size}`,
    );
  }

  async #file(path: string): Promise<Buffer> {
    const { file, sizeBytes } = await this.#regularFile(path);
    try {
      if (sizeBytes > documents.MAX_DOCUMENT_BYTES) throw this.#damaged(`has a ${path} of ${sizeBytes} bytes`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  /** A link to somewhere else would have what is there read, and its hash told. */
  async #regularFile(path: string): Promise<{ file: FileHandle; sizeBytes: Bytes }> {
    let file: FileHandle | undefined;
    try {
      const [root, real] = await Promise.all([realpath(this.folder), realpath(join(this.folder, path))]);
      if (!real.startsWith(root.endsWith(sep) ? root : root + sep)) {
        throw this.#damaged(`has a link out of it at ${path}`);
      }
      // A pipe would keep us waiting.
      file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const stat = await file.stat();
      if (!stat.isFile()) throw this.#damaged(`has no file at ${path}`);
      return { file, sizeBytes: stat.size };
    } catch (error) {
      await file?.close();
      if (error instanceof LazydiskError) throw error;
      if (errnoOf(error) === 'ENOENT') throw this.#damaged(`lacks ${path}`, error);
      throw new LazydiskError('IO', `${this.name}: ${path} can't be read: ${messageOf(error)}.`, { cause: error });
    }
  }

  async #assertPlatform(config: Descriptor, { platform }: WantedPlatform): Promise<void> {
    const its = documents.parsePlatform(await this.#document(config), this.#nameOf(config));
    if (isFor(its, platform)) return;
    throw new LazydiskError(
      'NOT_FOUND',
      `${this.name} has an image for ${platformName(its)} only, not for ${platformName(platform)}.`,
    );
  }

  #nameOf({ digest }: Descriptor): string {
    return `${this.name}: blob ${digest}`;
  }

  #damaged(what: string, cause?: unknown): LazydiskError {
    return new LazydiskError('DAMAGED', `${this.name} ${what}; copy the image again.`, { cause });
  }

  #unsupported(what: string, mediaType: string): LazydiskError {
    return new LazydiskError(
      'UNSUPPORTED',
      `${this.name} has ${what} of the type ${shown(mediaType)}, which is nothing that becomes files.`,
    );
  }
}
