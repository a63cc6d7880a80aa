/**
 * What a node of the tree names, and the text under which that is kept.
 *
 * A target names one content for ever: an image by its id (a re-created name is another image), a snapshot by its number and
 * commit id, a head by its content id. So the same target may get the same node id at any time, and another content never
 * does. The name of the image travels along because the catalogue finds images by name; the id decides whether the image
 * that is found is the one that was meant.
 *
 * The text is the key of the node database: `/` separates the parts, no part but the last may contain one.
 */
import type { RandomId } from '../../lib/format/references.js';

/** An image as a target names it. */
interface OfImage {
  readonly image: string;
  readonly imageId: RandomId;
}

/** A control or status file of the whole mount (`owner` null) or of an image. */
interface Special {
  readonly owner: OfImage | null;
}

export type ImageFolderTarget = { readonly kind: 'image' } & OfImage;
export type SnapshotTarget = {
  readonly kind: 'snapshot';
  readonly number: number;
  readonly commitId: RandomId;
} & OfImage;
export type HeadTarget = { readonly kind: 'head'; readonly contentId: string } & OfImage;
export type LatestTarget = { readonly kind: 'latest' } & OfImage;
export type TagTarget = { readonly kind: 'tag'; readonly tag: string } & OfImage;
export type ControlTarget = { readonly kind: 'control' } & Special;
export type StatusTarget = { readonly kind: 'status' } & Special;

export type Target =
  | { readonly kind: 'root' }
  | ImageFolderTarget
  | SnapshotTarget
  | HeadTarget
  | LatestTarget
  | TagTarget
  | ControlTarget
  | StatusTarget;

export type TargetKind = Target['kind'];

/** The text of a target: equal for equal targets, different for different ones. */
export function formatTarget(target: Target): string {
  switch (target.kind) {
    case 'root':
      return 'root';
    case 'control':
    case 'status':
      return target.owner === null ? `mount-${target.kind}` : `${target.kind}/${ofImage(target.owner)}`;
    case 'image':
    case 'latest':
      return `${target.kind}/${ofImage(target)}`;
    case 'snapshot':
      return `snapshot/${ofImage(target)}/${target.number}/${target.commitId}`;
    case 'tag':
      return `tag/${ofImage(target)}/${target.tag}`;
    case 'head':
      return `head/${ofImage(target)}/${target.contentId}`;
  }
}

/** The target of a text, or undefined when it is not one of ours (written by a later version). */
export function parseTarget(text: string): Target | undefined {
  if (text === 'root') return { kind: 'root' };
  if (text === 'mount-control') return { kind: 'control', owner: null };
  if (text === 'mount-status') return { kind: 'status', owner: null };
  const [kind, imageId, image, ...rest] = text.split('/');
  if (imageId === undefined || image === undefined || imageId === '' || image === '') return undefined;
  const owner: OfImage = { image, imageId };
  switch (kind) {
    case 'control':
    case 'status':
      return rest.length === 0 ? { kind, owner } : undefined;
    case 'image':
    case 'latest':
      return rest.length === 0 ? { kind, ...owner } : undefined;
    case 'snapshot':
      return parseSnapshot(owner, rest);
    case 'tag':
      return rest.length === 1 && rest[0] !== '' ? { kind, ...owner, tag: rest[0]! } : undefined;
    case 'head':
      return rest.length === 0 ? undefined : { kind, ...owner, contentId: rest.join('/') };
    default:
      return undefined;
  }
}

function ofImage(target: OfImage): string {
  return `${target.imageId}/${target.image}`;
}

function parseSnapshot(owner: OfImage, rest: readonly string[]): SnapshotTarget | undefined {
  const [digits, commitId] = rest;
  if (rest.length !== 2 || digits === undefined || commitId === undefined || !/^[1-9]\d*$/.test(digits))
    return undefined;
  return { kind: 'snapshot', ...owner, number: Number(digits), commitId };
}
