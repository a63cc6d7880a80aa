/**
 * A way to open an image that lies far away: what is started, and when its file is there.
 *
 * `open` is on the clock, from its first command until it resolves to the path of a file that can be opened. What it starts
 * belongs to the workspace's scope and ends with it. `prepare` is not on the clock: for what a host would have done long
 * before, and only where the title says so.
 */
import type { ImageName, Prepared, PreparedImage } from '../images.js';
import type { Access } from '../replay.js';
import type { S3Access } from '../s3.js';
import type { Workspace } from '../workspace.js';

/** What the way is compared as. */
export type WayKind = 'ours' | 'on-demand' | 'download' | 'local';

export interface ColdWay {
  readonly id: string;
  readonly title: string;
  readonly kind: WayKind;
  readonly access: Access;
  /** Programs that it runs. */
  readonly needs: readonly string[];
  readonly images: readonly ImageName[];
  /** Ways that are far from the best, or take minutes, run in the first round only. */
  readonly rounds: 'all' | 'first';
  /** Whether it belongs to a trial run. */
  readonly quick: boolean;
  prepare?(context: ColdContext): Promise<void>;
  open(context: ColdContext): Promise<string>;
}

export interface ColdContext {
  readonly workspace: Workspace;
  readonly prepared: Prepared;
  readonly image: PreparedImage;
  /** The S3 server over the link. */
  readonly s3: S3Access;
  /** The HTTP server over the link, `http://127.0.0.1:port`. */
  readonly http: string;
  /** Why the image has no recorded profile, if it has none. */
  readonly profileFailure: string | undefined;
}
