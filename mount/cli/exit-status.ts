/** The exit statuses of every verb, and which error leads to which: the only place that decides it. */
import { LazydiskError, type ErrorCode } from '../../lib/util/errors.js';

export const EXIT_STATUS = { ok: 0, other: 1, usage: 2, notFound: 3, conflict: 4, store: 5, damaged: 6 } as const;

export type ExitStatus = (typeof EXIT_STATUS)[keyof typeof EXIT_STATUS];

const BY_CODE: Readonly<Record<ErrorCode, ExitStatus>> = {
  USAGE: EXIT_STATUS.usage,
  NOT_FOUND: EXIT_STATUS.notFound,
  EXISTS: EXIT_STATUS.conflict,
  CONFLICT: EXIT_STATUS.conflict,
  LOCKED: EXIT_STATUS.conflict,
  BUSY: EXIT_STATUS.conflict,
  STALE: EXIT_STATUS.conflict,
  UNREACHABLE: EXIT_STATUS.store,
  REFUSED: EXIT_STATUS.store,
  DAMAGED: EXIT_STATUS.damaged,
  READ_ONLY: EXIT_STATUS.other,
  UNSUPPORTED: EXIT_STATUS.other,
  NO_SPACE: EXIT_STATUS.other,
  IO: EXIT_STATUS.other,
  TOO_LARGE: EXIT_STATUS.usage,
  ABORTED: EXIT_STATUS.other,
};

/** The exit status of an error. */
export function exitStatusOf(error: unknown): ExitStatus {
  return error instanceof LazydiskError ? BY_CODE[error.code] : EXIT_STATUS.other;
}

/** For the end of every help text. */
export const EXIT_STATUS_HELP = `Exit status:
  0  done, or there was nothing left to do
  1  another failure (local disk, rights, a feature that is missing)
  2  wrong use: an option, a name, a file that is not what it should be
  3  not found, or not mounted
  4  exists already, in conflict, locked, or in use
  5  the store can't be reached, or refused
  6  damaged data`;
