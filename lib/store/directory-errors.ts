/** From errno to the store's error codes: the one table for directories. */
import { errnoOf, LazydiskError, messageOf, type ErrorCode } from '../util/errors.js';

interface Meaning {
  readonly code: ErrorCode;
  /** The end of the sentence "<what> in <location> failed: ". */
  readonly sentence: string;
}

const REFUSED_ACCESS: Meaning = { code: 'REFUSED', sentence: 'this user has no right to do it; check owner and mode' };
const NO_SPACE: Meaning = { code: 'NO_SPACE', sentence: 'its file system is full or over quota; make room there' };
const AWAY: Meaning = { code: 'UNREACHABLE', sentence: 'its file system does not answer; check that it is mounted' };
const NO_DESCRIPTORS: Meaning = {
  code: 'UNREACHABLE',
  sentence: 'too many files are open; raise the limit (ulimit -n)',
};
const IN_THE_WAY: Meaning = {
  code: 'REFUSED',
  sentence: 'a file stands where a directory is needed, or a directory where a file is; this is no lazydisk repository',
};
const NO_LINKS: Meaning = {
  code: 'UNSUPPORTED',
  sentence: 'its file system has no hard links, which lazydisk needs to create an object exactly once',
};

const MEANINGS: Readonly<Record<string, Meaning>> = {
  EACCES: REFUSED_ACCESS,
  EPERM: REFUSED_ACCESS,
  EROFS: { code: 'REFUSED', sentence: 'its file system is read-only; mount it for writing' },
  ENOSPC: NO_SPACE,
  EDQUOT: NO_SPACE,
  // Network file systems: the server is away or was restarted, and may come back.
  ESTALE: AWAY,
  ENOTCONN: AWAY,
  ENODEV: AWAY,
  ETIMEDOUT: AWAY,
  EHOSTDOWN: AWAY,
  EHOSTUNREACH: AWAY,
  EREMOTEIO: AWAY,
  EMFILE: NO_DESCRIPTORS,
  ENFILE: NO_DESCRIPTORS,
  ENOTDIR: IN_THE_WAY,
  EISDIR: IN_THE_WAY,
  EXDEV: { code: 'REFUSED', sentence: 'it spans several file systems; keep a repository in one' },
  EMLINK: NO_LINKS,
  ENOTSUP: NO_LINKS,
  EOPNOTSUPP: NO_LINKS,
  ENOSYS: NO_LINKS,
};

/** The LazydiskError for what node:fs threw while doing `what` (`reading images/a`); one of ours passes unchanged. */
export function directoryError(error: unknown, location: string, what: string): LazydiskError {
  if (error instanceof LazydiskError) return error;
  const errno = errnoOf(error);
  const meaning = (errno === undefined ? undefined : MEANINGS[errno]) ?? { code: 'IO', sentence: messageOf(error) };
  return new LazydiskError(meaning.code, `${what} in ${location} failed: ${meaning.sentence}.`, {
    cause: error,
    facts: { location, errno },
  });
}

/** As directoryError, for link(2): there EPERM means that the file system has no hard links, not that a right is missing. */
export function linkError(error: unknown, location: string, what: string): LazydiskError {
  if (errnoOf(error) !== 'EPERM') return directoryError(error, location, what);
  return new LazydiskError(NO_LINKS.code, `${what} in ${location} failed: ${NO_LINKS.sentence}.`, {
    cause: error,
    facts: { location, errno: 'EPERM' },
  });
}
