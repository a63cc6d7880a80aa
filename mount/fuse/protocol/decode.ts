/**
 * Bytes of a request to a value. Pure, and total: any bytes give either a request or a BadRequest with the unique number to
 * answer (when there is one). Layouts are those of the kernel's interface 7.31 and later, little-endian.
 *
 * Offsets that a double can't hold are EFBIG: no image is larger than 8 TiB. Node ids and handles were given out by us, so a
 * number that we can't have given is ESTALE or EBADF.
 */
import { Fields, Misfit } from './fields.js';
import { MAX_DATA_BYTES, REQUEST_HEADER_BYTES, WRITE_DATA_POSITION } from './limits.js';
import { hasReply, Opcode } from './opcodes.js';
import type { Decoded, Operation, RequestHeader, SetAttributes } from './requests.js';
import type { AllocateMode, OpenFlags, Whence } from '../file-system.js';

/** Where the fixed part of an operation starts. */
const BODY = REQUEST_HEADER_BYTES;

/** Decodes one request: `bytes` is exactly what one read of the device returned. Keeps views on `bytes`. */
export function decode(bytes: Uint8Array): Decoded {
  if (bytes.byteLength < REQUEST_HEADER_BYTES) {
    return { ok: false, bad: { opcode: 0, unique: undefined, errno: 'EIO', reason: 'request has no whole header' } };
  }
  const whole = new Fields(bytes);
  const opcode = whole.u32(4);
  const unique = whole.u64(8);
  try {
    const lengthBytes = whole.u32(0);
    if (lengthBytes !== bytes.byteLength) {
      throw new Misfit('EIO', `request says ${String(lengthBytes)} bytes, ${String(bytes.byteLength)} came`);
    }
    // Extensions were not negotiated; should some come nevertheless, they stand at the end.
    const extensionBytes = (whole.u32(36) & 0xffff) * 8;
    if (extensionBytes > lengthBytes - REQUEST_HEADER_BYTES) throw new Misfit('EIO', 'extensions are too long');
    const fields = new Fields(bytes.subarray(0, lengthBytes - extensionBytes));
    // Node 0 stands for none (in BATCH_FORGET and the like).
    const node = hasReply(opcode) ? whole.exact(16, 'node id', 'ESTALE') : 0;
    const header: RequestHeader = {
      opcode,
      unique,
      node,
      uid: whole.u32(24),
      gid: whole.u32(28),
      pid: whole.u32(32),
    };
    return { ok: true, request: { header, operation: operationOf(opcode, fields) } };
  } catch (error) {
    if (!(error instanceof Misfit)) throw error;
    return { ok: false, bad: { opcode, unique, errno: error.errno, reason: error.message } };
  }
}

function operationOf(opcode: number, fields: Fields): Operation {
  switch (opcode) {
    case Opcode.LOOKUP:
      return { kind: 'lookup', name: fields.name(BODY).name };
    case Opcode.GETATTR:
      return { kind: 'getattr' };
    case Opcode.SETATTR:
      return { kind: 'setattr', changes: setAttributes(fields) };
    case Opcode.READLINK:
      return { kind: 'readlink' };
    case Opcode.SYMLINK:
      return { kind: 'make-other', name: fields.name(BODY).name };
    case Opcode.MKNOD:
      return { kind: 'make-other', name: fields.name(BODY + 16).name };
    case Opcode.LINK:
      return { kind: 'make-other', name: fields.name(BODY + 8).name };
    case Opcode.MKDIR:
      return { kind: 'mkdir', mode: fields.u32(BODY) & PERMISSION_BITS, name: fields.name(BODY + 8).name };
    case Opcode.UNLINK:
      return { kind: 'unlink', name: fields.name(BODY).name };
    case Opcode.RMDIR:
      return { kind: 'rmdir', name: fields.name(BODY).name };
    case Opcode.RENAME:
      return rename(fields, BODY + 8, 0);
    case Opcode.RENAME2:
      return rename(fields, BODY + 16, fields.u32(BODY + 8));
    case Opcode.OPEN:
      return { kind: 'open', flags: openFlags(fields.u32(BODY)) };
    case Opcode.CREATE:
      return {
        kind: 'create',
        flags: openFlags(fields.u32(BODY)),
        mode: fields.u32(BODY + 4) & PERMISSION_BITS,
        name: fields.name(BODY + 16).name,
      };
    case Opcode.READ:
      return read(fields);
    case Opcode.WRITE:
      return write(fields);
    case Opcode.FLUSH:
      return { kind: 'flush', handle: handle(fields) };
    case Opcode.RELEASE:
      return { kind: 'release', handle: handle(fields) };
    case Opcode.FSYNC:
      return { kind: 'fsync', handle: handle(fields) };
    case Opcode.FALLOCATE:
      return allocate(fields);
    case Opcode.LSEEK:
      return seek(fields);
    case Opcode.OPENDIR:
      return { kind: 'opendir' };
    case Opcode.READDIR:
      return readDirectory(fields, false);
    case Opcode.READDIRPLUS:
      return readDirectory(fields, true);
    case Opcode.RELEASEDIR:
      return { kind: 'releasedir', handle: handle(fields) };
    case Opcode.FSYNCDIR:
      return { kind: 'fsyncdir' };
    case Opcode.STATFS:
      return { kind: 'statfs' };
    case Opcode.DESTROY:
      return { kind: 'destroy' };
    case Opcode.INTERRUPT:
      return { kind: 'interrupt', target: fields.u64(BODY) };
    case Opcode.FORGET:
    case Opcode.BATCH_FORGET:
    case Opcode.NOTIFY_REPLY:
      return { kind: 'ignored' };
    default:
      return { kind: 'refused' };
  }
}

const PERMISSION_BITS = 0o7777;

function handle(fields: Fields): number {
  return fields.exact(BODY, 'handle', 'EBADF');
}

const O_ACCMODE = 3;
const O_TRUNC = 0o1000;

function openFlags(flags: number): OpenFlags {
  return { write: (flags & O_ACCMODE) !== 0, truncate: (flags & O_TRUNC) !== 0 };
}

const FATTR_MODE = 1 << 0;
const FATTR_UID = 1 << 1;
const FATTR_GID = 1 << 2;
const FATTR_SIZE = 1 << 3;
const FATTR_ATIME = 1 << 4;
const FATTR_MTIME = 1 << 5;
const FATTR_ATIME_NOW = 1 << 7;
const FATTR_MTIME_NOW = 1 << 8;

/** Other bits (handle, lock owner, change time, killing set-id bits) ask for nothing that we keep. */
function setAttributes(fields: Fields): SetAttributes {
  const valid = fields.u32(BODY);
  const has = (bit: number) => (valid & bit) !== 0;
  // The whole fixed part must be there, whatever bits are set.
  fields.slice(BODY, 88);
  return {
    ...(has(FATTR_MODE) && { mode: fields.u32(BODY + 68) & PERMISSION_BITS }),
    ...(has(FATTR_UID) && { uid: fields.u32(BODY + 76) }),
    ...(has(FATTR_GID) && { gid: fields.u32(BODY + 80) }),
    ...(has(FATTR_SIZE) && { sizeBytes: fields.exact(BODY + 16, 'size', 'EFBIG') }),
    ...(has(FATTR_ATIME) && {
      atimeMs: has(FATTR_ATIME_NOW) ? ('now' as const) : fields.milliseconds(BODY + 32, BODY + 56),
    }),
    ...(has(FATTR_MTIME) && {
      mtimeMs: has(FATTR_MTIME_NOW) ? ('now' as const) : fields.milliseconds(BODY + 40, BODY + 60),
    }),
  };
}

function rename(fields: Fields, names: number, flags: number): Operation {
  const newParent = fields.exact(BODY, 'node id', 'ESTALE');
  const from = fields.name(names);
  const to = fields.name(from.end);
  return { kind: 'rename', name: from.name, newParent, newName: to.name, flags };
}

function read(fields: Fields): Operation {
  const lengthBytes = fields.u32(BODY + 16);
  // The fixed part ends here; checked so that a cut-off request is not half understood.
  fields.slice(BODY, 40);
  if (lengthBytes > MAX_DATA_BYTES) throw new Misfit('EINVAL', 'more bytes are asked for than were agreed on');
  return { kind: 'read', handle: handle(fields), offset: endChecked(fields, lengthBytes), lengthBytes };
}

function write(fields: Fields): Operation {
  const lengthBytes = fields.u32(BODY + 16);
  const bytes = fields.slice(WRITE_DATA_POSITION, lengthBytes);
  return { kind: 'write', handle: handle(fields), offset: endChecked(fields, lengthBytes), bytes };
}

/** The offset of a READ, WRITE or FALLOCATE, when the end of the range is exact too. */
function endChecked(fields: Fields, lengthBytes: number): number {
  const offset = fields.exact(BODY + 8, 'offset', 'EFBIG');
  if (!Number.isSafeInteger(offset + lengthBytes)) throw new Misfit('EFBIG', 'end is beyond 2^53');
  return offset;
}

/** Modes of fallocate(2) by their bits: keep size 1, punch hole 2, zero range 16. */
const ALLOCATE_MODES: ReadonlyMap<number, AllocateMode> = new Map([
  [0, 'allocate'],
  [1, 'allocate-keep-size'],
  [3, 'punch-hole'],
  [16, 'zero-range'],
  [17, 'zero-range-keep-size'],
]);

function allocate(fields: Fields): Operation {
  const mode = ALLOCATE_MODES.get(fields.u32(BODY + 24));
  if (mode === undefined) throw new Misfit('EOPNOTSUPP', 'mode of fallocate is not served');
  const lengthBytes = fields.exact(BODY + 16, 'length', 'EFBIG');
  return { kind: 'allocate', mode, offset: endChecked(fields, lengthBytes), lengthBytes };
}

const WHENCES: ReadonlyMap<number, Whence> = new Map([
  [3, 'data'],
  [4, 'hole'],
]);

function seek(fields: Fields): Operation {
  const whence = WHENCES.get(fields.u32(BODY + 16));
  if (whence === undefined) throw new Misfit('EINVAL', 'whence of lseek is not served');
  // Negative offsets arrive as huge ones; lseek(2) has ENXIO for both.
  return { kind: 'seek', whence, offset: fields.exact(BODY + 8, 'offset', 'ENXIO') };
}

function readDirectory(fields: Fields, withAttributes: boolean): Operation {
  const lengthBytes = fields.u32(BODY + 16);
  return {
    kind: 'readdir',
    handle: handle(fields),
    position: fields.exact(BODY + 8, 'position', 'EINVAL'),
    // The kernel's room; we never need more than what was agreed on.
    lengthBytes: Math.min(lengthBytes, MAX_DATA_BYTES),
    withAttributes,
  };
}
