/**
 * An OCI image layout in a folder: from index.json through indexes and a manifest to the layers of one image.
 *
 * Nobody vouches for the folder. A blob is named by a digest and nothing else, so no path leads out of blobs/; a link is not
 * followed out of the layout; a blob is compared with its size and digest before anything of it is used, and a layer, which is read twice,
 * again while it is used.
 */
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { LazydiskError } from '../util/errors.js';
import type { Intake } from './image-source.js';
import { hashed, streamInput, taken, type Input } from './input.js';
import type { Layer } from './layer-source.js';
import { assertFor, chooseImage, choosePlatform, shown, type WantedPlatform } from './oci-choice.js';
import * as documents from './oci-documents.js';
import type { Descriptor } from './oci-documents.js';
import { unpacked } from './unpacking.js';
import type { UntrustedFolder } from './untrusted-folder.js';

/** An index in an index is allowed; a chain of them is a trap. */
const MAX_INDEXES = 4;
const PIECE_BYTES = 1024 * 1024;

export class OciLayout {
  constructor(
    private readonly folder: UntrustedFolder,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** Whether a folder is one, rather than a tree of files. IO. */
  static isIn(folder: UntrustedFolder): Promise<boolean> {
    return folder.has('oci-layout');
  }

  /**
   * The layers of an image, the lowest first. USAGE (several images), NOT_FOUND (no such image, none for that machine), UNSUPPORTED (not
   * an image of files, or a layer of an unknown kind), DAMAGED (a blob is missing or another, a document is wrong), IO.
   */
  async layers(reference: string | undefined, wanted: WantedPlatform): Promise<Layer[]> {
    const { name } = this.folder;
    documents.parseLayout(await this.#file('oci-layout'), `${name}/oci-layout`);
    const top = documents.parseIndex(await this.#file('index.json'), `${name}/index.json`);
    let found = choosePlatform(chooseImage(top.manifests, reference, name), wanted, name);
    let isKnownPlatform = found.platform !== undefined;
    for (let indexes = 0; documents.INDEX_TYPES.includes(found.mediaType); indexes++) {
      if (indexes === MAX_INDEXES) throw this.folder.damaged(`has more than ${MAX_INDEXES} indexes in one another`);
      const inner = documents.parseIndex(await this.#document(found), this.#nameOf(found));
      found = choosePlatform(inner.manifests, wanted, name);
      isKnownPlatform = found.platform !== undefined;
    }
    if (!documents.MANIFEST_TYPES.includes(found.mediaType)) throw this.#unsupported('an entry', found.mediaType);
    const { config, layers } = documents.parseManifest(await this.#document(found), this.#nameOf(found));
    if (!documents.CONFIG_TYPES.includes(config.mediaType)) throw this.#unsupported('a content', config.mediaType);
    if (wanted.isAsked && !isKnownPlatform) await this.#assertPlatform(config, wanted);
    return layers.map((descriptor, at) => {
      const packing = documents.packingOf(descriptor.mediaType);
      if (packing === undefined) throw this.#unsupported('a layer', descriptor.mediaType);
      const title = `layer ${at + 1} of ${layers.length} of ${name} (${descriptor.digest})`;
      const open = async (onIntake: (intake: Intake) => void): Promise<Input> => {
        const packed = await this.#openLayer(descriptor, onIntake);
        return packing === 'none' ? packed : unpacked(packed, title, { kind: 'packed', name: packing });
      };
      return { title, sizeBytes: descriptor.size, open };
    });
  }

  /** The bytes of a layer as it is packed: checked before, and again on the way, of which `onIntake` tells. */
  async #openLayer(descriptor: Descriptor, onIntake: (intake: Intake) => void): Promise<Input> {
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
      throw this.folder.damaged(
        `names a document of ${size} bytes (${descriptor.digest}); no index or manifest is so large`,
      );
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
    const { file, sizeBytes } = await this.folder.open(join('blobs', algorithm, hex));
    if (sizeBytes === descriptor.size) return file;
    await file.close();
    throw this.folder.damaged(
      `has a blob of another length: ${descriptor.digest} has ${sizeBytes} bytes, not ${descriptor.size}`,
    );
  }

  #file(path: string): Promise<Buffer> {
    return this.folder.read(path, documents.MAX_DOCUMENT_BYTES);
  }

  async #assertPlatform(config: Descriptor, wanted: WantedPlatform): Promise<void> {
    assertFor(documents.parsePlatform(await this.#document(config), this.#nameOf(config)), wanted, this.folder.name);
  }

  #nameOf({ digest }: Descriptor): string {
    return `${this.folder.name}: blob ${digest}`;
  }

  #unsupported(what: string, mediaType: string): LazydiskError {
    return new LazydiskError(
      'UNSUPPORTED',
      `${this.folder.name} has ${what} of the type ${shown(mediaType)}, which is nothing that becomes files.`,
    );
  }
}
