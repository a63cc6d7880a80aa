/** What may be said about a disk that is opened to be imported. */
import type { Bytes } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import type { Intake } from './image-source.js';
import type { Checksum } from './input.js';

export interface OpenOptions {
  /** `raw` insists: what a file begins with is not looked at. */
  readonly format?: 'raw' | undefined;
  /** Of the file as it is, packed or not. */
  readonly checksum?: Checksum | undefined;
  /** Also read other files that a container names. */
  readonly follow?: boolean | undefined;
  /** Size of the file system that a tree of files becomes; only of such. */
  readonly fileSystemBytes?: Bytes | undefined;
  /** Which of several images of containers: its name or its digest. */
  readonly reference?: string | undefined;
  /** For which machine an image of containers is, as `linux/arm64`; undefined: for one like this. */
  readonly platform?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How far something is that is read in order. */
  readonly onIntake?: ((intake: Intake) => void) | undefined;
}

/** USAGE: only of images of containers there are several. */
export function assertNoChoice({ reference, platform }: OpenOptions, name: string): void {
  if (reference === undefined && platform === undefined) return;
  throw new LazydiskError('USAGE', `${name} is no image of containers; --reference and --platform are for those.`);
}

/** USAGE: a disk has its size, and there is one. */
export function assertIsDisk(options: OpenOptions, name: string): void {
  assertNoChoice(options, name);
  const { fileSystemBytes } = options;
  if (fileSystemBytes === undefined) return;
  throw new LazydiskError(
    'USAGE',
    `${name} is a disk and has its size; --size is for trees of files. Import it, then \`lazydisk clone --size\`.`,
  );
}
