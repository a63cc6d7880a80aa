/**
 * The table of operations (DESIGN 9) as data: what each kind of node refuses, and with which errno.
 *
 * The file system asks here before it does anything, so that the table stands in one place and a kind's own code only knows
 * what it can do. What is not in the table is served by the kind. On a read-only mount every change is EROFS, whatever the
 * node.
 */
import type { ErrnoName } from '../fuse/errno.js';
import type { TargetKind } from './targets.js';

/** An operation as the table sees it. */
export type Operation =
  | 'list'
  | 'read'
  | 'write'
  | 'resize' // truncate, O_TRUNC
  | 'change' // chown, chmod, times
  | 'allocate' // punch, zero range, allocate
  | 'seek'
  | 'read-link'
  | 'make-directory'
  | 'create'
  | 'make-other' // links, special files
  | 'remove-directory'
  | 'unlink'
  | 'rename';

type Column = Partial<Record<Operation, ErrnoName>>;

/** Operations on a name in a folder; whatever is no folder answers them all alike. */
const IN_NO_FOLDER: Column = {
  list: 'ENOTDIR',
  'make-directory': 'ENOTDIR',
  create: 'ENOTDIR',
  'make-other': 'ENOTDIR',
  'remove-directory': 'ENOTDIR',
  unlink: 'ENOTDIR',
  rename: 'ENOTDIR',
};

/** Operations on bytes; folders answer them all alike. */
const NO_BYTES: Column = {
  read: 'EISDIR',
  write: 'EISDIR',
  resize: 'EISDIR',
  allocate: 'EISDIR',
  seek: 'EISDIR',
  'read-link': 'EINVAL',
};

const IN_FOLDERS: Column = { 'make-other': 'EPERM', unlink: 'EPERM', rename: 'EPERM', change: 'EPERM' };

const LINK: Column = {
  ...IN_NO_FOLDER,
  read: 'ELOOP',
  write: 'ELOOP',
  resize: 'EPERM',
  change: 'EPERM',
  allocate: 'EPERM',
  seek: 'EINVAL',
};

const TABLE: Record<TargetKind, Column> = {
  root: { ...NO_BYTES, ...IN_FOLDERS, create: 'EPERM' },
  image: { ...NO_BYTES, ...IN_FOLDERS, 'make-directory': 'EPERM' },
  snapshot: {
    ...IN_NO_FOLDER,
    write: 'EROFS',
    resize: 'EROFS',
    change: 'EROFS',
    allocate: 'EROFS',
    'read-link': 'EINVAL',
  },
  head: { ...IN_NO_FOLDER, 'read-link': 'EINVAL' },
  latest: LINK,
  tag: LINK,
  control: { ...IN_NO_FOLDER, change: 'EPERM', allocate: 'EPERM', 'read-link': 'EINVAL' },
  status: {
    ...IN_NO_FOLDER,
    write: 'EPERM',
    resize: 'EPERM',
    change: 'EPERM',
    allocate: 'EPERM',
    'read-link': 'EINVAL',
  },
};

/** Operations that change something. */
const CHANGES: ReadonlySet<Operation> = new Set<Operation>([
  'write',
  'resize',
  'change',
  'allocate',
  'make-directory',
  'create',
  'make-other',
  'remove-directory',
  'unlink',
  'rename',
]);

/** The errno with which a node of this kind refuses the operation, or undefined when it serves it. */
export function refusal(kind: TargetKind, operation: Operation, readOnlyMount: boolean): ErrnoName | undefined {
  const errno = TABLE[kind][operation];
  if (errno === 'ENOTDIR' || errno === 'EISDIR') return errno;
  if (readOnlyMount && CHANGES.has(operation)) return 'EROFS';
  return errno;
}
