/**
 * Keys: the only place that spells the name of an object in a repository, and that says which names an image may have.
 *
 *     lazydisk.json
 *     images/<image>/snapshots/<8 digits>.json
 *     images/<image>/deleted/<8 digits>.json
 *     images/<image>/writer.json
 *     images/<image>/profile.json
 *     images/<image>/tags/<tag>.json
 *     segments/<32 hex digits>
 *     condemned/<32 hex digits>.json
 *     clock/<32 hex digits>
 */
import { LazydiskError } from '../util/errors.js';
import { isRandomId } from './ids.js';
import type { RandomId, SegmentId } from './references.js';

export const MARKER_KEY = 'lazydisk.json';
export const IMAGES_PREFIX = 'images/';
export const SEGMENTS_PREFIX = 'segments/';
export const CONDEMNED_PREFIX = 'condemned/';
export const CLOCK_PREFIX = 'clock/';

/** Numbers have eight digits in keys. */
export const MAX_SNAPSHOT_NUMBER = 99_999_999;

const IMAGE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const TAG_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** Names of the files that a mount shows beside a tag's, without their `.raw`. */
const RESERVED_TAGS = ['latest', 'disk'];

/** Names of the files that a mount shows beside the images. */
const RESERVED_NAMES = ['control', 'status', 'metrics'];

const NUMBERED = /^images\/([^/]+)\/(snapshots|deleted)\/(\d{8})\.json$/;
const SINGLE = /^images\/([^/]+)\/(writer|profile)\.json$/;
const TAG = /^images\/([^/]+)\/tags\/([^/]+)\.json$/;
const SEGMENT = /^segments\/([0-9a-f]{32})$/;
const CONDEMNED = /^condemned\/([0-9a-f]{32})\.json$/;
const CLOCK = /^clock\/([0-9a-f]{32})$/;

/** What a key names. */
export type ParsedKey =
  | { readonly kind: 'marker' }
  | { readonly kind: 'snapshot' | 'tombstone'; readonly image: string; readonly number: number }
  | { readonly kind: 'writer' | 'profile'; readonly image: string }
  | { readonly kind: 'tag'; readonly image: string; readonly tag: string }
  | { readonly kind: 'segment'; readonly segment: SegmentId }
  | { readonly kind: 'condemned' | 'clock'; readonly id: RandomId };

/** Whether an image may have this name. */
export function isImageName(name: string): boolean {
  return IMAGE_NAME.test(name) && !RESERVED_NAMES.includes(name);
}

/** USAGE when an image can't have this name. */
export function assertImageName(name: string): void {
  if (isImageName(name)) return;
  const reason = RESERVED_NAMES.includes(name)
    ? 'that name is a file of every mount'
    : 'expected 1 to 128 letters, digits, dots, underscores and hyphens, beginning with a letter or digit';
  throw new LazydiskError('USAGE', `${JSON.stringify(name)} can't be the name of an image: ${reason}.`, {
    facts: { image: name },
  });
}

/** Whether a tag may have this name: not one that reads as a number, nor that of a file which every image has. */
export function isTagName(tag: string): boolean {
  return TAG_NAME.test(tag) && !/^\d+$/.test(tag) && !RESERVED_TAGS.includes(tag);
}

/** USAGE when a tag can't have this name. */
export function assertTagName(tag: string): void {
  if (isTagName(tag)) return;
  const reason = RESERVED_TAGS.includes(tag)
    ? 'every image has a file of that name'
    : 'expected 1 to 128 letters, digits, dots, underscores and hyphens, beginning with a letter or digit, and not only digits';
  throw new LazydiskError('USAGE', `${JSON.stringify(tag)} can't be the name of a tag: ${reason}.`, { facts: { tag } });
}

/** Whether a snapshot may have this number. */
export function isSnapshotNumber(number: number): boolean {
  return Number.isInteger(number) && number >= 1 && number <= MAX_SNAPSHOT_NUMBER;
}

/** `images/<image>/`: all objects of an image begin so. USAGE (name). */
export function imagePrefix(image: string): string {
  assertImageName(image);
  return `${IMAGES_PREFIX}${image}/`;
}

export function snapshotKey(image: string, number: number): string {
  return `${imagePrefix(image)}snapshots/${digits(number)}.json`;
}

export function tombstoneKey(image: string, number: number): string {
  return `${imagePrefix(image)}deleted/${digits(number)}.json`;
}

export function writerKey(image: string): string {
  return `${imagePrefix(image)}writer.json`;
}

export function profileKey(image: string): string {
  return `${imagePrefix(image)}profile.json`;
}

/** `images/<image>/tags/`: all tags of an image. USAGE (name). */
export function tagsPrefix(image: string): string {
  return `${imagePrefix(image)}tags/`;
}

export function tagKey(image: string, tag: string): string {
  assertTagName(tag);
  return `${tagsPrefix(image)}${tag}.json`;
}

export function segmentKey(segment: SegmentId): string {
  if (!isRandomId(segment))
    throw new LazydiskError('DAMAGED', `${JSON.stringify(segment)} is not the id of a segment.`);
  return `${SEGMENTS_PREFIX}${segment}`;
}

/** A list of condemned segments. */
export function condemnedKey(id: RandomId): string {
  return `${CONDEMNED_PREFIX}${id}.json`;
}

/** An object that is put only to be told the store's time. */
export function clockKey(id: RandomId): string {
  return `${CLOCK_PREFIX}${id}`;
}

/** What `key` names; undefined when it is none of ours (or one that a later version has added). */
export function parseKey(key: string): ParsedKey | undefined {
  if (key === MARKER_KEY) return { kind: 'marker' };
  const segment = SEGMENT.exec(key)?.[1];
  if (segment !== undefined) return { kind: 'segment', segment };
  const condemned = CONDEMNED.exec(key)?.[1];
  if (condemned !== undefined) return { kind: 'condemned', id: condemned };
  const clock = CLOCK.exec(key)?.[1];
  if (clock !== undefined) return { kind: 'clock', id: clock };
  const [, tagged, tag = ''] = TAG.exec(key) ?? [];
  if (tagged !== undefined) {
    return isImageName(tagged) && isTagName(tag) ? { kind: 'tag', image: tagged, tag } : undefined;
  }
  const [, image, kind, number] = NUMBERED.exec(key) ?? SINGLE.exec(key) ?? [];
  if (image === undefined || !isImageName(image)) return undefined;
  if (kind === 'writer' || kind === 'profile') return { kind, image };
  if (!isSnapshotNumber(Number(number))) return undefined;
  return { kind: kind === 'snapshots' ? 'snapshot' : 'tombstone', image, number: Number(number) };
}

function digits(number: number): string {
  if (!isSnapshotNumber(number)) {
    throw new LazydiskError(
      'USAGE',
      `${number} can't be the number of a snapshot: expected 1 to ${MAX_SNAPSHOT_NUMBER}.`,
    );
  }
  return String(number).padStart(8, '0');
}
