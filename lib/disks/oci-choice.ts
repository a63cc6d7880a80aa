/**
 * Which of several images is meant, and for which machine. Pure: from descriptors and what was asked for to one descriptor.
 *
 * A name is what `skopeo copy … oci:DIR:NAME` and `docker save NAME` leave in the annotations, or a digest.
 */
import { LazydiskError } from '../util/errors.js';
import type { Descriptor, Platform } from './oci-documents.js';

/** docker save writes the whole name here, and only the tag into the other. */
const WHOLE_NAME = 'io.containerd.image.name';
const NAME = 'org.opencontainers.image.ref.name';
/** What BuildKit puts beside an image: statements about it, which are no image. */
const BESIDE = 'vnd.docker.reference.type';

/** So many are told in a sentence. */
const MOST_TOLD = 12;

/** Node's names of architectures, where those of the standard (Go's) are others. */
const ARCHITECTURES: Readonly<Partial<Record<string, string>>> = { x64: 'amd64', ia32: '386', mips64el: 'mips64le' };

/** What is taken where nobody asks for a variant, besides none at all: the one that most machines of today are. */
const USUAL_VARIANTS: Readonly<Partial<Record<string, string>>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' };

/** For which machine. `isAsked`: it is not just the machine that this is. */
export interface WantedPlatform {
  readonly platform: Platform;
  readonly isAsked: boolean;
}

/** `asked`: as `linux/arm64` or `linux/arm/v7`; undefined: like this machine. USAGE. */
export function wantedPlatform(asked: string | undefined, machine: string = process.arch): WantedPlatform {
  if (asked === undefined) {
    const ours = machine === 'ppc64' ? 'ppc64le' : (ARCHITECTURES[machine] ?? machine);
    return { platform: { os: 'linux', architecture: ours }, isAsked: false };
  }
  const [, os, architecture, variant] = /^([a-z0-9]+)\/([a-z0-9]+)(?:\/([a-z0-9]+))?$/.exec(asked) ?? [];
  if (os === undefined || architecture === undefined) {
    throw new LazydiskError(
      'USAGE',
      `--platform takes a system and an architecture, as linux/arm64, not ${JSON.stringify(asked)}.`,
    );
  }
  return { platform: { os, architecture, ...(variant === undefined ? {} : { variant }) }, isAsked: true };
}

/**
 * The descriptors of one image: several when they are for several machines. `name`: of the layout. NOT_FOUND: none is called so.
 * USAGE: there are several images, and none was named.
 */
export function chooseImage(
  all: readonly Descriptor[],
  reference: string | undefined,
  name: string,
): readonly Descriptor[] {
  const images = all.filter(isImage);
  if (images.length === 0) throw new LazydiskError('NOT_FOUND', `${name} is an OCI image layout without an image.`);
  const called = thoseCalled(images, namesOf, reference, name);
  const isOne = new Set(called.map((image) => image.digest)).size === 1;
  const isForMachines =
    new Set(called.map((image) => image.annotations?.[WHOLE_NAME] ?? image.annotations?.[NAME])).size === 1 &&
    called.every((image) => image.platform !== undefined);
  if (isOne || isForMachines) return called;
  throw severalError(called.map(firstNameOf), name);
}

/** Of `images`, which are some, those that have this name, or end with it after a slash; undefined: all. NOT_FOUND: none. */
export function thoseCalled<T>(
  images: readonly T[],
  namesOf: (image: T) => readonly string[],
  reference: string | undefined,
  name: string,
): readonly T[] {
  if (reference === undefined) return images;
  const called = images.filter((image) =>
    namesOf(image).some((word) => word === reference || word.endsWith(`/${reference}`)),
  );
  if (called.length > 0) return called;
  const all = told(images.map((image) => namesOf(image)[0]!));
  throw new LazydiskError('NOT_FOUND', `${name} has no image ${shown(reference)}; it has ${all}.`);
}

/** There are these, and none was named. */
export function severalError(names: readonly string[], name: string): LazydiskError {
  return new LazydiskError('USAGE', `${name} has several images: ${told(names)}; choose one by --reference NAME.`);
}

/**
 * The one that is for a machine: the first of those that match, as the standard has it. What does not say what it is for matches
 * all. NOT_FOUND: none does.
 */
export function choosePlatform(
  all: readonly Descriptor[],
  { platform, isAsked }: WantedPlatform,
  name: string,
): Descriptor {
  const images = all.filter(isImage);
  const matching = images.filter((image) => image.platform === undefined || isFor(image.platform, platform));
  const usual = USUAL_VARIANTS[platform.architecture];
  const plain = matching.find(({ platform: its }) => its?.variant === undefined || its.variant === usual);
  const found = (platform.variant === undefined ? plain : undefined) ?? matching[0];
  if (found !== undefined) return found;
  const platforms = images.flatMap((image) => image.platform ?? []).map(platformName);
  const why = isAsked ? '' : ', which this machine is';
  throw new LazydiskError(
    'NOT_FOUND',
    platforms.length === 0
      ? `${name} holds no image.`
      : `${name} has no image for ${platformName(platform)}${why}; it has ${told(platforms)}: choose one by --platform.`,
  );
}

/** Whether what is made for `its` is what was wanted. */
function isFor(its: Platform, wanted: Platform): boolean {
  const isSame = its.os === wanted.os && its.architecture === wanted.architecture;
  // Of the variants, the usual one is the same as none.
  const usual = USUAL_VARIANTS[wanted.architecture];
  return isSame && (wanted.variant === undefined || (its.variant ?? usual) === wanted.variant);
}

/** NOT_FOUND: it was asked for another machine than `its`. */
export function assertFor(its: Platform, { platform, isAsked }: WantedPlatform, name: string): void {
  if (!isAsked || isFor(its, platform)) return;
  throw new LazydiskError(
    'NOT_FOUND',
    `${name} has an image for ${platformName(its)} only, not for ${platformName(platform)}.`,
  );
}

function platformName({ os, architecture, variant }: Platform): string {
  return shown([os, architecture, ...(variant === undefined ? [] : [variant])].join('/'));
}

/** A word from outside as it may stand in a sentence. */
export function shown(word: string): string {
  return /^[\w./:@+-]{1,255}$/.test(word) ? word : JSON.stringify(word.slice(0, 255));
}

function isImage({ annotations, platform }: Descriptor): boolean {
  return annotations?.[BESIDE] === undefined && platform?.os !== 'unknown';
}

function namesOf({ annotations, digest }: Descriptor): string[] {
  return [annotations?.[WHOLE_NAME], annotations?.[NAME], digest].filter((word) => word !== undefined);
}

function firstNameOf(image: Descriptor): string {
  return namesOf(image)[0]!;
}

function told(words: readonly string[]): string {
  const distinct = [...new Set(words)];
  const rest = distinct.length - MOST_TOLD;
  return `${distinct.slice(0, MOST_TOLD).map(shown).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}
