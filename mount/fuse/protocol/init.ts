/**
 * The first exchange: which version and which features the kernel and this driver use.
 *
 * `negotiate` is pure: the kernel's INIT in, the reply and what was agreed out. INIT comes once per mount, also when one
 * daemon takes over from another: what was agreed is a value that can be handed on.
 *
 * Asked for: ASYNC_READ and ASYNC_DIO (requests of one file in parallel), BIG_WRITES and MAX_PAGES (1 MiB each),
 * PARALLEL_DIROPS (a lookup that waits for the store does not hold the folder), DO_READDIRPLUS with READDIRPLUS_AUTO
 * (attributes with the listing when somebody wants them), INIT_EXT with HAS_RESEND (a daemon that takes over can have the
 * requests in flight sent again; unused until it asks), PASSTHROUGH (the kernel reads a file of ours by itself; backing files
 * must not be stacked file systems, hence a depth of 1).
 *
 * Never asked for, because:
 *   WRITEBACK_CACHE           writes that were acknowledged would be missing in a commit
 *   ATOMIC_O_TRUNC            the kernel would set the size itself; it sends a SETATTR instead, which can fail
 *   AUTO_INVAL_DATA           our own writes change the time of the file, and would drop its page cache
 *   EXPLICIT_INVAL_DATA       a size that changed behind the kernel's back must drop the pages
 *   POSIX_LOCKS, FLOCK_LOCKS  the kernel keeps locks itself, which is what QEMU's locks need
 *   EXPORT_SUPPORT            no lookups of `.` and `..`, so no export over NFS
 *   HANDLE_KILLPRIV, _V2      the kernel clears set-user-id bits itself
 *   CACHE_SYMLINKS            `latest.raw` points elsewhere after a commit
 *   NO_OPEN, NO_OPENDIR       opens must be seen: they take the writer's lock
 *   POSIX_ACL, SECURITY_CTX, DONT_MASK, ABORT_ERROR, io_uring, idmapped mounts, timeouts: not used
 */
import { LazydiskError } from '../../../lib/util/errors.js';
import { MAX_DATA_BYTES, REQUEST_HEADER_BYTES } from './limits.js';
import { Opcode } from './opcodes.js';

const MAJOR = 7;
/** The newest minor version that this code was written against. */
const NEWEST_MINOR = 45;
/** Linux 5.4. Older kernels lack MAX_PAGES (7.28), and nobody has tried them. */
const OLDEST_MINOR = 31;

const ASYNC_READ = 1 << 0;
const BIG_WRITES = 1 << 5;
const DO_READDIRPLUS = 1 << 13;
const READDIRPLUS_AUTO = 1 << 14;
const ASYNC_DIO = 1 << 15;
const PARALLEL_DIROPS = 1 << 18;
const MAX_PAGES = 1 << 22;
const INIT_EXT = 1 << 30;
/** In the second word of flags. */
const PASSTHROUGH = 1 << 5;
const HAS_RESEND = 1 << 7;

const WANTED =
  ASYNC_READ | BIG_WRITES | DO_READDIRPLUS | READDIRPLUS_AUTO | ASYNC_DIO | PARALLEL_DIROPS | MAX_PAGES | INIT_EXT;
const NEEDED = MAX_PAGES;
const WANTED_2 = PASSTHROUGH | HAS_RESEND;

/** What can be done without, by the names under which it is left out. */
const FEATURES = {
  'async-read': { flags: ASYNC_READ, flags2: 0 },
  'async-dio': { flags: ASYNC_DIO, flags2: 0 },
  'parallel-dirops': { flags: PARALLEL_DIROPS, flags2: 0 },
  readdirplus: { flags: DO_READDIRPLUS | READDIRPLUS_AUTO, flags2: 0 },
  passthrough: { flags: 0, flags2: PASSTHROUGH },
  resend: { flags: 0, flags2: HAS_RESEND },
} as const;

/** Names of features, each once. */
export type FeatureSet = ReadonlySet<keyof typeof FEATURES>;

/** Parses `resend,passthrough`: names of features that this driver is to do without. USAGE names the unknown one. */
export function parseFeatures(text: string): FeatureSet {
  const names = text.split(',').filter((name) => name !== '');
  for (const name of names) {
    if (Object.hasOwn(FEATURES, name)) continue;
    throw new LazydiskError(
      'USAGE',
      `There is no FUSE feature ${JSON.stringify(name)} to do without: name some of ${Object.keys(FEATURES).join(', ')}.`,
    );
  }
  return new Set(names as (keyof typeof FEATURES)[]);
}

/** With 64, reads that wait for a store that is away would stop the local reads of every other image. */
const MAX_BACKGROUND = 4096;
/** From here on the kernel gives up readahead. */
const CONGESTION_THRESHOLD = 3072;
const PAGE_BYTES = 4096;
/** How deep file systems may be stacked below a backing file, this mount included. */
const MAX_STACK_DEPTH = 1;
const INIT_REPLY_BYTES = 64;

/** The kernel's INIT. */
export interface KernelInit {
  readonly major: number;
  readonly minor: number;
  readonly maxReadaheadBytes: number;
  /** Bits 0 to 31 of the features that the kernel offers. */
  readonly flags: number;
  /** Bits 32 to 63. */
  readonly flags2: number;
}

/** What was agreed. Plain data: it is handed to whoever serves the device. */
export interface Negotiated {
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxDataBytes: number;
  /** The kernel can send requests in flight again to the next daemon. */
  readonly canResend: boolean;
  /** The kernel can read a backing file itself, if this process may ask for that (CAP_SYS_ADMIN). */
  readonly canPassThrough: boolean;
}

export type Negotiation =
  | { readonly kind: 'agreed'; readonly reply: Uint8Array; readonly negotiated: Negotiated }
  /** The kernel speaks a newer major version: after this reply it sends another INIT. */
  | { readonly kind: 'again'; readonly reply: Uint8Array };

/** The INIT in a request as it was read from the device. DAMAGED when it is none. */
export function decodeInit(request: Uint8Array): { unique: bigint; init: KernelInit } {
  const view = new DataView(request.buffer, request.byteOffset, request.byteLength);
  if (view.byteLength < REQUEST_HEADER_BYTES + 16 || view.getUint32(4, true) !== Opcode.INIT) {
    throw new LazydiskError('DAMAGED', 'The first request of the kernel should be INIT, and was something else.');
  }
  const word = (position: number) => (position + 4 <= view.byteLength ? view.getUint32(position, true) : 0);
  const body = REQUEST_HEADER_BYTES;
  const flags = word(body + 12);
  return {
    unique: view.getBigUint64(8, true),
    init: {
      major: word(body),
      minor: word(body + 4),
      maxReadaheadBytes: word(body + 8),
      flags,
      flags2: (flags & INIT_EXT) === 0 ? 0 : word(body + 16),
    },
  };
}

/** Decides what to use of what the kernel offers, but for `without`. UNSUPPORTED when that is too little. */
export function negotiate(kernel: KernelInit, without: FeatureSet = new Set()): Negotiation {
  if (kernel.major > MAJOR)
    return { kind: 'again', reply: initReply({ minor: NEWEST_MINOR, readahead: 0, flags: 0, flags2: 0 }) };
  if (kernel.major < MAJOR || kernel.minor < OLDEST_MINOR) {
    throw new LazydiskError(
      'UNSUPPORTED',
      `The FUSE protocol of this kernel is ${String(kernel.major)}.${String(kernel.minor)}; ` +
        `lazydisk needs ${String(MAJOR)}.${String(OLDEST_MINOR)} (Linux 5.4) or later.`,
    );
  }
  if ((kernel.flags & NEEDED) !== NEEDED) {
    throw new LazydiskError('UNSUPPORTED', 'The kernel does not offer FUSE requests of 1 MiB (MAX_PAGES).');
  }
  const minor = Math.min(kernel.minor, NEWEST_MINOR);
  const left = [...without].map((name) => FEATURES[name]);
  const masked = left.reduce((mask, feature) => mask | feature.flags, 0);
  const masked2 = left.reduce((mask, feature) => mask | feature.flags2, 0);
  const flags = (WANTED & kernel.flags & ~masked) >>> 0;
  const flags2 = (flags & INIT_EXT) === 0 ? 0 : (WANTED_2 & kernel.flags2 & ~masked2) >>> 0;
  const readahead = Math.min(kernel.maxReadaheadBytes, MAX_DATA_BYTES);
  return {
    kind: 'agreed',
    reply: initReply({ minor, readahead, flags, flags2 }),
    negotiated: {
      minor,
      flags,
      flags2,
      maxDataBytes: MAX_DATA_BYTES,
      canResend: (flags2 & HAS_RESEND) !== 0,
      canPassThrough: (flags2 & PASSTHROUGH) !== 0,
    },
  };
}

function initReply(agreed: { minor: number; readahead: number; flags: number; flags2: number }): Uint8Array {
  const reply = new Uint8Array(INIT_REPLY_BYTES);
  const view = new DataView(reply.buffer);
  view.setUint32(0, MAJOR, true);
  view.setUint32(4, agreed.minor, true);
  view.setUint32(8, agreed.readahead, true);
  view.setUint32(12, agreed.flags, true);
  view.setUint16(16, MAX_BACKGROUND, true);
  view.setUint16(18, CONGESTION_THRESHOLD, true);
  view.setUint32(20, MAX_DATA_BYTES, true);
  // Times are exact to the nanosecond as far as the kernel is concerned.
  view.setUint32(24, 1, true);
  view.setUint16(28, MAX_DATA_BYTES / PAGE_BYTES, true);
  view.setUint32(32, agreed.flags2, true);
  if ((agreed.flags2 & PASSTHROUGH) !== 0) view.setUint32(36, MAX_STACK_DEPTH, true);
  return reply;
}
