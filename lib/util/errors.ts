/**
 * The one kind of error that lazydisk throws on purpose.
 *
 * The code is the contract: callers decide by it, and it maps to an exit status (mount/cli) and to an errno
 * (mount/fuse/errno.ts). The message is one sentence for people: what was expected, what came, what to do. Facts that a
 * program may want (image, key, holder) are fields in `facts`, never only words.
 */

/** Stable error codes. They differ only where a caller would act differently. */
export type ErrorCode =
  | 'USAGE' // bad input: an option, a name, a file that is not what it should be
  | 'NOT_FOUND' // no such object, image, snapshot, repository, mount
  | 'EXISTS' // it is there already (also: If-None-Match refused the PUT)
  | 'CONFLICT' // somebody else was faster, or the state does not allow it
  | 'LOCKED' // the writer's lock is held by another state directory
  | 'BUSY' // open, mounted, or in use here; a second daemon
  | 'READ_ONLY' // a snapshot, or a read-only mount
  | 'UNREACHABLE' // the store did not answer in time; trying again may help
  | 'REFUSED' // the store answered no: credentials, rights, bucket; trying again does not help
  | 'DAMAGED' // bytes that are not what they should be
  | 'UNSUPPORTED' // a feature that this version, store or kernel does not have
  | 'NO_SPACE' // the local disk is full
  | 'IO' // the local disk failed
  | 'TOO_LARGE' // beyond a limit of the format (8 TiB images)
  | 'STALE' // what was named has been replaced: look it up again
  | 'ABORTED'; // the caller went away

/** An error with a stable code, its facts, and its cause. */
export class LazydiskError extends Error {
  override readonly name = 'LazydiskError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: { cause?: unknown; facts?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.facts = options.facts ?? {};
  }

  readonly facts: Readonly<Record<string, unknown>>;
}

/** Whether `error` is a LazydiskError with one of the given codes. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): error is LazydiskError {
  return error instanceof LazydiskError && codes.includes(error.code);
}

/** The errno name (`ENOENT`) of an error from node:fs and the like, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** One sentence of any thrown thing. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
