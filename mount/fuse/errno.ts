/**
 * Errors to errnos: the one place where it is decided what a caller of the mount sees.
 *
 * Expected errors are FsError (an errno on purpose) and LazydiskError (by its code). A local disk that is full is expected
 * too, wherever it shows. Anything else is a defect or a failing disk: EIO, and the caller logs it.
 */
import { constants } from 'node:os';
import { errnoOf, LazydiskError, type ErrorCode } from '../../lib/util/errors.js';

export type ErrnoName = keyof typeof constants.errno;

/** A file system's refusal with a certain errno. */
export class FsError extends Error {
  override readonly name = 'FsError';
  /** The errno, positive. */
  readonly errno: number;

  constructor(
    readonly code: ErrnoName,
    message: string = code,
  ) {
    super(message);
    this.errno = constants.errno[code];
  }
}

const BY_CODE: Readonly<Record<ErrorCode, ErrnoName>> = {
  USAGE: 'EINVAL',
  NOT_FOUND: 'ENOENT',
  EXISTS: 'EEXIST',
  CONFLICT: 'EBUSY',
  LOCKED: 'EBUSY',
  BUSY: 'EBUSY',
  READ_ONLY: 'EROFS',
  UNREACHABLE: 'EIO',
  REFUSED: 'EIO',
  DAMAGED: 'EIO',
  UNSUPPORTED: 'EOPNOTSUPP',
  NO_SPACE: 'ENOSPC',
  IO: 'EIO',
  TOO_LARGE: 'EFBIG',
  STALE: 'ESTALE',
  ABORTED: 'EINTR',
};

export interface Answer {
  readonly name: ErrnoName;
  /** The errno, positive. */
  readonly errno: number;
  /** A defect, or trouble that an operator should know of: to be logged. */
  readonly worthLogging: boolean;
}

/** What to answer to a request that failed with `error`. Never ENOSYS: that one is not a file system's to give. */
export function answerTo(error: unknown): Answer {
  if (error instanceof FsError) return answer(error.code === 'ENOSYS' ? 'EOPNOTSUPP' : error.code);
  if (error instanceof LazydiskError) return answer(BY_CODE[error.code]);
  const code = errnoOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') return answer('ENOSPC');
  if ((error as { name?: unknown } | null | undefined)?.name === 'AbortError') return answer('EINTR');
  return answer('EIO');
}

/** The number of an errno by its name. */
export function errnoNumber(name: string): number {
  return (constants.errno as Readonly<Record<string, number>>)[name] ?? constants.errno.EIO;
}

function answer(name: ErrnoName): Answer {
  return { name, errno: constants.errno[name], worthLogging: name === 'EIO' };
}
