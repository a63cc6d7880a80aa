/** Images of containers made by hand, as OCI layouts and in Docker's older form: folders, tar, SHA-256. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { must } from './processes.js';

export const OCI = 'application/vnd.oci.image';
export const NAME = 'org.opencontainers.image.ref.name';

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
  platform?: { os: string; architecture: string; variant?: string };
}

/** A layout that is filled blob by blob. */
export class LayoutBuilder {
  constructor(readonly path: string) {
    mkdirSync(join(path, 'blobs', 'sha256'), { recursive: true });
    writeFileSync(join(path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  }

  pathOf({ digest }: Descriptor): string {
    return join(this.path, 'blobs', ...digest.split(':'));
  }

  blob(mediaType: string, bytes: Uint8Array): Descriptor {
    const digest = `sha256:${sha256(bytes)}`;
    const descriptor = { mediaType, digest, size: bytes.length };
    writeFileSync(this.pathOf(descriptor), bytes);
    return descriptor;
  }

  document(mediaType: string, value: object): Descriptor {
    return this.blob(mediaType, Buffer.from(JSON.stringify(value)));
  }

  /** A layer, packed. */
  async layer(tar: Buffer, packing: 'none' | 'gzip' | 'zstd' = 'none'): Promise<Descriptor> {
    if (packing === 'none') return this.blob(`${OCI}.layer.v1.tar`, tar);
    if (packing === 'gzip') return this.blob(`${OCI}.layer.v1.tar+gzip`, gzipSync(tar));
    const path = join(this.path, 'layer');
    writeFileSync(path, tar);
    await must('zstd', ['-q', '--rm', path]);
    const packed = readFileSync(`${path}.zst`);
    await must('rm', [`${path}.zst`]);
    return this.blob(`${OCI}.layer.v1.tar+zstd`, packed);
  }

  manifest(layers: readonly Descriptor[], architecture = 'amd64', config = `${OCI}.config.v1+json`): Descriptor {
    return this.document(`${OCI}.manifest.v1+json`, {
      schemaVersion: 2,
      config: this.document(config, { os: 'linux', architecture }),
      layers,
    });
  }

  index(manifests: readonly object[]): Descriptor {
    return this.document(`${OCI}.index.v1+json`, { schemaVersion: 2, manifests });
  }

  /** Writes index.json. */
  top(...manifests: readonly object[]): this {
    writeFileSync(join(this.path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
    return this;
  }
}

/** What stands in the older form of `docker save` for one image. */
export interface DockerImage {
  readonly config: string;
  readonly tags: readonly string[] | null;
  /** Paths in the archive. */
  readonly layers: readonly string[];
}

/** The entry for manifest.json. */
export const dockerManifest = (...images: readonly DockerImage[]): Entry =>
  file(
    'manifest.json',
    JSON.stringify(images.map(({ config, tags, layers }) => ({ Config: config, RepoTags: tags, Layers: layers }))),
  );

/** The entry for a configuration whose layers, unpacked, are these. */
export const dockerConfig = (name: string, tars: readonly Uint8Array[], architecture = 'amd64'): Entry =>
  file(
    name,
    JSON.stringify({
      architecture,
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: tars.map((tar) => `sha256:${sha256(tar)}`) },
    }),
  );

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export interface Entry {
  readonly name: string;
  /** As in the header: a file, a hard link, a symbolic link, a character device, a folder. */
  readonly type?: '0' | '1' | '2' | '3' | '5';
  readonly mode?: number;
  readonly owner?: readonly [uid: number, gid: number];
  readonly content?: string | Uint8Array;
  readonly link?: string;
  readonly device?: readonly [major: number, minor: number];
  readonly xattrs?: Readonly<Record<string, string>>;
  /** Instead of the name, which a header has too little room for. */
  readonly path?: string;
}

export const file = (name: string, content: string | Uint8Array = name, more: Partial<Entry> = {}): Entry => ({
  name,
  content,
  ...more,
});
export const folder = (name: string, more: Partial<Entry> = {}): Entry => ({ name, type: '5', mode: 0o755, ...more });
export const link = (name: string, to: string): Entry => ({ name, type: '2', link: to });
/** What hides a name of the layers below: `etc/.wh.name`. */
export const whiteout = (name: string): Entry => file(name, '');

const SECTOR = 512;

/** An archive with exactly these entries, also such as no tar would write. */
export function tarOf(...entries: readonly Entry[]): Buffer {
  return Buffer.concat([...entries.flatMap(encode), Buffer.alloc(2 * SECTOR)]);
}

function encode(entry: Entry): Uint8Array[] {
  const { type = '0', content = '', mode = 0o644, owner = [0, 0], device = [0, 0] } = entry;
  const body = typeof content === 'string' ? Buffer.from(content) : content;
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  const header = Buffer.alloc(SECTOR);
  header.write(entry.name, 0, 'latin1');
  header.write([octal(mode, 7), octal(owner[0], 7), octal(owner[1], 7)].join('\0'), 100);
  header.write([octal(body.length, 11), octal(1_000_000_000, 11)].join('\0'), 124);
  header.write(`        ${type}`, 148);
  header.write(entry.link ?? '', 157, 'latin1');
  header.write('ustar\x0000', 257);
  header.write([octal(device[0], 7), octal(device[1], 7)].join('\0'), 329);
  header.write(
    `${octal(
      header.reduce((sum, byte) => sum + byte),
      6,
    )}\0 `,
    148,
  );
  const padding = Buffer.alloc((SECTOR - (body.length % SECTOR)) % SECTOR);
  return [...extended(entry), header, body, padding];
}

/** What a header has no room for stands in an entry of its own before the one that has it. */
function extended({ xattrs = {}, path }: Entry): Buffer[] {
  const attributes = Object.entries(xattrs).map(([key, value]) => [`SCHILY.xattr.${key}`, value]);
  const lines = [...attributes, ...(path === undefined ? [] : [['path', path]])].map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    const digits = String(rest.length + 2).length;
    return `${String(rest.length + digits)}${rest}`;
  });
  if (lines.length === 0) return [];
  const [header, body, padding] = encode({ name: 'attributes', content: lines.join('') }) as [Buffer, Buffer, Buffer];
  header.write('        x', 148);
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return [header, body, padding];
}
