/**
 * What `docker save` wrote before OCI layouts, and `podman save` still does: a manifest.json that names, for each image, a configuration and
 * the layers, which lie beside it as tars.
 *
 * Nobody vouches for it. What a layer must hash to, unpacked, is in the configuration; it is compared while the layer is laid over the
 * others, and nothing becomes a disk before all are. A layer is packed as its first bytes say: Docker packs none, others do.
 */
import type { Bytes } from '../format/geometry.js';
import type { Intake } from './image-source.js';
import { hashed, peek, streamInput, taken, type Input } from './input.js';
import type { Layer } from './layer-source.js';
import { assertFor, severalError, thoseCalled, type WantedPlatform } from './oci-choice.js';
import { checksumOf, MAX_DOCUMENT_BYTES, parseDockerConfig, recogniseDockerManifest } from './oci-documents.js';
import type { DockerImage } from './oci-documents.js';
import { recogniseStart, SIGNATURE_BYTES } from './signatures.js';
import { unpacked } from './unpacking.js';
import type { UntrustedFolder } from './untrusted-folder.js';

const MANIFEST = 'manifest.json';
const PIECE_BYTES = 1024 * 1024;

export class DockerArchive {
  private constructor(
    private readonly folder: UntrustedFolder,
    private readonly images: readonly DockerImage[],
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** undefined: the folder is none; its manifest.json, if it has one, is a file like any other. IO. */
  static async in(folder: UntrustedFolder, signal?: AbortSignal): Promise<DockerArchive | undefined> {
    if (!(await folder.has(MANIFEST))) return undefined;
    const { file, sizeBytes } = await folder.open(MANIFEST);
    try {
      const images = sizeBytes > MAX_DOCUMENT_BYTES ? undefined : recogniseDockerManifest(await file.readFile());
      return images && new DockerArchive(folder, images, signal);
    } finally {
      await file.close();
    }
  }

  /** The layers of an image, the lowest first. USAGE (several images), NOT_FOUND (no such image, or for another machine), DAMAGED, IO. */
  async layers(reference: string | undefined, wanted: WantedPlatform): Promise<Layer[]> {
    const { name } = this.folder;
    const called = thoseCalled(this.images, namesOf, reference, name);
    const [image] = called;
    if (image === undefined || called.some(({ Config }) => Config !== image.Config)) {
      throw severalError(
        called.map((one) => namesOf(one)[0]!),
        name,
      );
    }
    const config = parseDockerConfig(
      await this.folder.read(image.Config, MAX_DOCUMENT_BYTES),
      `${name}/${image.Config}`,
    );
    assertFor(config, wanted, name);
    const ids = config.rootfs.diff_ids;
    if (ids.length !== image.Layers.length) {
      throw this.folder.damaged(`has ${image.Layers.length} layers, and its configuration knows of ${ids.length}`);
    }
    const layers: Layer[] = [];
    for (const [at, path] of image.Layers.entries()) {
      const title = `layer ${at + 1} of ${ids.length} of ${name} (${ids[at]!})`;
      const sizeBytes = await this.#sizeOf(path);
      layers.push({ title, sizeBytes, open: (onIntake) => this.#open({ path, title, digest: ids[at]! }, onIntake) });
    }
    return layers;
  }

  async #sizeOf(path: string): Promise<Bytes> {
    const { file, sizeBytes } = await this.folder.open(path);
    await file.close();
    return sizeBytes;
  }

  async #open(
    { path, title, digest }: Readonly<Record<'path' | 'title' | 'digest', string>>,
    onIntake: (intake: Intake) => void,
  ): Promise<Input> {
    const { file, sizeBytes } = await this.folder.open(path);
    const stream = file.createReadStream({ start: 0, highWaterMark: PIECE_BYTES });
    const whole = taken(streamInput(stream, title), sizeBytes, { signal: this.signal, onIntake });
    try {
      const { start, input } = await peek(whole, SIGNATURE_BYTES);
      const found = recogniseStart(start);
      const tar = found.kind === 'packed' ? await unpacked(input, title, found) : input;
      return hashed(tar, title, checksumOf({ digest }));
    } catch (error) {
      await whole.close();
      throw error;
    }
  }
}

/** Its tags, and its id, which the name of its configuration is. */
function namesOf({ RepoTags, Config }: DockerImage): string[] {
  return [...(RepoTags ?? []), Config.replace(/\.json$/, '')];
}
