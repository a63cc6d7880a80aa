/** The fixed names of the tree, and the names of snapshots and tags. */
import { isTagName } from '../../lib/format/keys.js';

export const CONTROL_NAME = 'control';
export const STATUS_NAME = 'status';
export const HEAD_NAME = 'disk.raw';
export const LATEST_NAME = 'latest.raw';

/** The name under which a tag is shown. */
export function tagFileName(tag: string): string {
  return `${tag}.raw`;
}

/** The tag that a name stands for, or undefined. */
export function tagOf(name: string): string | undefined {
  const tag = /^(.+)\.raw$/.exec(name)?.[1];
  return tag !== undefined && isTagName(tag) ? tag : undefined;
}

/** The name under which a snapshot is shown. */
export function snapshotName(number: number): string {
  return `${number}.raw`;
}

/** The snapshot number that a name stands for, or undefined. Eight digits at most, as in the repository; no leading zero. */
export function snapshotNumber(name: string): number | undefined {
  const digits = /^([1-9]\d{0,7})\.raw$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
