/**
 * The options of a mount through libfuse 2, as the one argument that the package hands to it.
 *
 *   subtype, fsname       listed as the kernel driver's mounts are
 *   default_permissions   the kernel checks owners and modes, always
 *   direct_io             no page cache: the package can't say per file what the kernel may cache, and control files and
 *                         status texts must not be cached. The price: no shared mappings of disks, no readahead
 *   use_ino               our own numbers are the inode numbers
 *   big_writes, max_*     128 KiB a request, which is the most of libfuse 2
 *   hard_remove           a refused unlink of an open file is refused, not turned into a rename
 *   max_background        with libfuse's 12, reads that wait for the store would stop other images' local ones
 */
import { LazydiskError } from '../../../lib/util/errors.js';
import type { MountOptions } from '../driver.js';
import { contextWords } from '../selinux.js';

const MAX_REQUEST_BYTES = 128 * 1024;
const MAX_BACKGROUND = 256;
/** What the package's buffer for the argument holds; it would cut off the rest without a word. */
const MAX_ARGUMENT_BYTES = 1000;

/** USAGE when the source is too long for the package. */
export function nativeOptions(options: Omit<MountOptions, 'mountpoint'>): string {
  const { source, allowOther, readOnly, noExec = false } = options;
  const argument = `-o${[
    `fsname=${source.replace(/[\\,]/g, (character) => `\\${character}`)}`,
    'subtype=lazydisk',
    'default_permissions',
    'direct_io',
    'use_ino',
    'big_writes',
    'hard_remove',
    `max_read=${String(MAX_REQUEST_BYTES)}`,
    `max_write=${String(MAX_REQUEST_BYTES)}`,
    `max_background=${String(MAX_BACKGROUND)}`,
    'attr_timeout=1',
    'entry_timeout=1',
    ...(allowOther ? ['allow_other'] : []),
    ...(readOnly ? ['ro'] : []),
    ...(noExec ? ['noexec'] : []),
    ...contextWords(options),
  ].join(',')}`;
  if (Buffer.byteLength(argument) <= MAX_ARGUMENT_BYTES) return argument;
  throw new LazydiskError('USAGE', `The address of the repository is too long for the driver fuse-native: ${source}.`);
}
