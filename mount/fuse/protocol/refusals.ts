/**
 * What operations that are not served get for an answer.
 *
 * ENOSYS is for ever: the kernel remembers it and never asks again. That is wanted where the kernel then does the right
 * thing by itself, and harmful anywhere else (after one ENOSYS to FSYNC it reports success without asking). So only the list
 * here may answer ENOSYS, whatever a file system below throws.
 *
 *   GETXATTR and the like   EOPNOTSUPP to callers; without it each write would ask for `security.capability` first
 *   ACCESS                  never asked, since the kernel checks modes itself (default_permissions)
 *   BMAP, POLL              no mapping to a disk; always ready
 *   TMPFILE                 EOPNOTSUPP to callers
 *   STATX                   the kernel asks GETATTR instead; we know no birth times
 *   COPY_FILE_RANGE, _64    the kernel copies by reading and writing
 *   what came after 7.45    ENOSYS is how the protocol says that a server does not know an operation at all
 *
 * SYNCFS is not in the list: ENOSYS would make syncfs(2) report success unasked, as with FSYNC. Locks are not in it either:
 * they are not negotiated, so they never come.
 */
import { LAST_KNOWN_OPCODE, Opcode } from './opcodes.js';

const NEVER_ASK_AGAIN: ReadonlySet<number> = new Set([
  Opcode.SETXATTR,
  Opcode.GETXATTR,
  Opcode.LISTXATTR,
  Opcode.REMOVEXATTR,
  Opcode.ACCESS,
  Opcode.BMAP,
  Opcode.POLL,
  Opcode.TMPFILE,
  Opcode.STATX,
  Opcode.COPY_FILE_RANGE,
  Opcode.COPY_FILE_RANGE_64,
]);

/** Whether ENOSYS may answer the operation. */
export function mayAnswerEnosys(opcode: number): boolean {
  return NEVER_ASK_AGAIN.has(opcode) || opcode > LAST_KNOWN_OPCODE;
}

/** The errno, by name, for an operation that is not served. */
export function refusalOf(opcode: number): 'ENOSYS' | 'ENOTTY' | 'EPROTO' | 'EOPNOTSUPP' {
  if (mayAnswerEnosys(opcode)) return 'ENOSYS';
  if (opcode === Opcode.IOCTL) return 'ENOTTY';
  if (opcode === Opcode.INIT) return 'EPROTO';
  return 'EOPNOTSUPP';
}
