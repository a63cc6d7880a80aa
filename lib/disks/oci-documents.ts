/**
 * The documents of an OCI image layout (image-spec 1.1), and those of Docker that say the same by other names: what is read of
 * them, and its limits. Bytes to validated values, nothing else.
 */
import * as z from 'zod';
import type { Bytes } from '../format/geometry.js';
import { LazydiskError, messageOf } from '../util/errors.js';
import type { Checksum } from './input.js';

/** More is no index, manifest or configuration: registries refuse larger ones. */
export const MAX_DOCUMENT_BYTES: Bytes = 4 * 1024 * 1024;
/** Builders stop at 127. */
const MAX_LAYERS = 1024;

const digest = z.string().regex(/^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/, 'no digest by sha256 or sha512');
const words = z.string().max(4096);
const mediaType = z.string().max(255);

const platform = z.object({ os: words, architecture: words, variant: words.optional() });

const descriptor = z.object({
  mediaType,
  digest,
  // No document and no tar is empty.
  size: z.number().int().positive().max(Number.MAX_SAFE_INTEGER),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: platform.optional(),
});

const index = z.object({
  schemaVersion: z.literal(2),
  mediaType: mediaType.optional(),
  manifests: z.array(descriptor),
});

const manifest = z.object({
  schemaVersion: z.literal(2),
  mediaType: mediaType.optional(),
  config: descriptor,
  layers: z.array(descriptor).min(1).max(MAX_LAYERS),
});

const layout = z.object({ imageLayoutVersion: z.string().regex(/^1\.\d+\.\d+$/, 'a version that is not known') });

/** `manifest.json` of what `docker save` wrote before there were layouts. */
const dockerManifest = z
  .array(
    z.object({
      Config: words.min(1),
      RepoTags: z.array(words).nullish(),
      Layers: z.array(words.min(1)).min(1).max(MAX_LAYERS),
    }),
  )
  .min(1);

const dockerConfig = platform.extend({ rootfs: z.object({ diff_ids: z.array(digest) }) });

export type Platform = z.infer<typeof platform>;
/** Names a blob, with what it is and how long. */
export type Descriptor = z.infer<typeof descriptor>;
export type Index = z.infer<typeof index>;
export type Manifest = z.infer<typeof manifest>;
export type DockerImage = z.infer<typeof dockerManifest>[number];
export type DockerConfig = z.infer<typeof dockerConfig>;

/** `name`: of the document, for messages. DAMAGED: no JSON, or not what the standard says. */
export const parseLayout = (bytes: Uint8Array, name: string): void => void parse(layout, bytes, name);
export const parseIndex = (bytes: Uint8Array, name: string): Index => parse(index, bytes, name);
export const parseManifest = (bytes: Uint8Array, name: string): Manifest => parse(manifest, bytes, name);
/** Of a configuration, the machine that it is for. */
export const parsePlatform = (bytes: Uint8Array, name: string): Platform => parse(platform, bytes, name);
export const parseDockerConfig = (bytes: Uint8Array, name: string): DockerConfig => parse(dockerConfig, bytes, name);

/** undefined: a file of the same name that is none. */
export function recogniseDockerManifest(bytes: Uint8Array): readonly DockerImage[] | undefined {
  try {
    return dockerManifest.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

export function checksumOf({ digest: text }: Pick<Descriptor, 'digest'>): Checksum {
  const [algorithm, hex] = text.split(':') as [Checksum['algorithm'], string];
  return { algorithm, hex };
}

const OCI = 'application/vnd.oci.image';
const DOCKER = 'application/vnd.docker';

export const INDEX_TYPES: readonly string[] = [`${OCI}.index.v1+json`, `${DOCKER}.distribution.manifest.list.v2+json`];
export const MANIFEST_TYPES: readonly string[] = [`${OCI}.manifest.v1+json`, `${DOCKER}.distribution.manifest.v2+json`];
export const CONFIG_TYPES: readonly string[] = [`${OCI}.config.v1+json`, `${DOCKER}.container.image.v1+json`];

/** How a layer, which is a tar, is packed. */
export type Packing = 'none' | 'gzip' | 'zstd';

const LAYER_TYPES: Readonly<Partial<Record<string, Packing>>> = {
  [`${OCI}.layer.v1.tar`]: 'none',
  [`${OCI}.layer.v1.tar+gzip`]: 'gzip',
  [`${OCI}.layer.v1.tar+zstd`]: 'zstd',
  [`${OCI}.layer.nondistributable.v1.tar`]: 'none',
  [`${OCI}.layer.nondistributable.v1.tar+gzip`]: 'gzip',
  [`${OCI}.layer.nondistributable.v1.tar+zstd`]: 'zstd',
  [`${DOCKER}.image.rootfs.diff.tar`]: 'none',
  [`${DOCKER}.image.rootfs.diff.tar.gzip`]: 'gzip',
  [`${DOCKER}.image.rootfs.diff.tar.zstd`]: 'zstd',
  [`${DOCKER}.image.rootfs.foreign.diff.tar`]: 'none',
  [`${DOCKER}.image.rootfs.foreign.diff.tar.gzip`]: 'gzip',
};

/** undefined: not a layer that anybody has defined. */
export function packingOf(layerType: string): Packing | undefined {
  return Object.hasOwn(LAYER_TYPES, layerType) ? LAYER_TYPES[layerType] : undefined;
}

function parse<T>(schema: z.ZodType<T>, bytes: Uint8Array, name: string): T {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new LazydiskError('DAMAGED', `${name} is no JSON document; copy the image again.`, {
      cause: messageOf(error),
    });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const at = path.length === 0 ? 'the document' : path.join('.');
  throw new LazydiskError('DAMAGED', `${name} is not what an image has there: ${at}: ${message}.`);
}
