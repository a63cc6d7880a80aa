/** What commands are asked with and what they answer, as the control API, the verbs and the outcomes have it: values only. */
import type { CloneOutcome, CommitOutcome, HydrateOutcome } from '../../lib/image/api.js';
import type { BootProfile } from '../../lib/format/profile.js';

/** How a clone is asked for, beside what it is made of. */
export interface CloneWish {
  readonly commit?: boolean | undefined;
  readonly local?: boolean | undefined;
  /** As large as the source by default. */
  readonly sizeBytes?: number | undefined;
}

/** How a commit is asked for. */
export interface CommitWish {
  readonly label?: string | undefined;
  /** Name of the new image that the changes are saved as. */
  readonly as?: string | undefined;
}

/** What `revert` answers. */
export interface RevertResult {
  readonly image: string;
  /** The snapshot that was asked for; null: the base. */
  readonly number: number | null;
}

/** What `unlock` answers. */
export interface UnlockResult {
  readonly image: string;
}

/** What `profile` answers. */
export interface ProfileResult {
  readonly image: string;
  /** null: there is none, or it was dropped. */
  readonly profile: BootProfile | null;
}

export type CommandResult = CommitOutcome | CloneOutcome | RevertResult | UnlockResult | HydrateOutcome | ProfileResult;
