/**
 * What daemon and verbs say to each other over the control socket: HTTP with JSON, and the values of both sides.
 *
 * Errors travel whole (`{error: {code, message, facts}}`), so the verb ends with the same sentence and exit status as if it
 * had met them itself. The HTTP status repeats the code for other clients.
 */
import * as z from 'zod';
import type { BootProfile } from '../../lib/format/profile.js';
import type { CloneOutcome, CommitOutcome, HydrateOutcome } from '../../lib/image/api.js';
import { LazydiskError, messageOf, type ErrorCode } from '../../lib/util/errors.js';
import type { CloneWish, CommitWish } from '../tree/command-values.js';
import type { FlatResult } from '../tree/flat-snapshots.js';
import type { CommandOutcome, RunningCommand } from '../tree/outcomes.js';
import type { ImageStatusDocument, MountGlance, MountStatus } from '../tree/status-schema.js';

/** Path of the socket within the state directory. */
export const SOCKET_NAME = 'control.sock';

/** A commit that goes on, or has ended already. */
export interface CommitStart {
  readonly id: string;
  readonly image: string;
  /** How long the cut held writers up, milliseconds. */
  readonly pauseMs: number;
  readonly outcome: CommitOutcome | null;
}

/** What the daemon can be asked to do. mount/tree implements it for its control files; the socket leads to the same. */
export interface ControlCommands {
  commit(image: string, wish: CommitWish): Promise<CommitOutcome>;
  /** Resolves when the cut is taken; `outcome` is there when the end came first. The id is good for `command`. */
  beginCommit(image: string, wish: CommitWish): Promise<CommitStart>;
  /** A command by its id, running or ended. NOT_FOUND. */
  command(id: string): Promise<RunningCommand | CommandOutcome>;
  clone(
    image: string,
    newImage: string,
    options: CloneWish & { readonly number?: number | undefined },
  ): Promise<CloneOutcome>;
  revert(image: string, number?: number): Promise<void>;
  /** The snapshot that a tag leads to. NOT_FOUND. */
  tagged(image: string, tag: string): Promise<{ number: number }>;
  unlock(image: string): Promise<void>;
  /** Keeps a snapshot as a flat file too. NOT_FOUND, NO_SPACE. */
  keepFlat(image: string, number: number): Promise<FlatResult>;
  /** Removes that file; `dropped` is false when there was none. */
  dropFlat(image: string, number: number): Promise<{ dropped: boolean }>;
  hydrate(image: string, number?: number): Promise<HydrateOutcome>;
  recordProfile(image: string): Promise<BootProfile>;
  status(): Promise<MountStatus>;
  /** What the mount knows without asking the store. */
  glance(): Promise<MountGlance>;
  /** NOT_FOUND. */
  imageStatus(image: string): Promise<ImageStatusDocument>;
  /** Unmounts; BUSY says who holds it. When it resolves, the mount is gone and the daemon is about to flush and end. */
  unmount(): Promise<void>;
  /**
   * Lets a daemon that runs `program` take the place of this one. Resolves when that is about to happen. BUSY: a command runs;
   * UNSUPPORTED: nobody can take over.
   */
  restart(program: string): Promise<void>;
}

const image = z.string().min(1);
const number = z.int().positive().optional();
const commitWish = { label: z.string().optional(), as: image.optional() };

/** Bodies of the POST requests; the path is `/` and the name. */
export const REQUESTS = {
  commit: z.strictObject({ image, ...commitWish }),
  'begin-commit': z.strictObject({ image, ...commitWish }),
  clone: z.strictObject({
    image,
    newImage: image,
    number,
    commit: z.boolean().optional(),
    local: z.boolean().optional(),
    sizeBytes: z.int().nonnegative().optional(),
  }),
  revert: z.strictObject({ image, number }),
  unlock: z.strictObject({ image }),
  'keep-flat': z.strictObject({ image, number: z.int().positive() }),
  'drop-flat': z.strictObject({ image, number: z.int().positive() }),
  hydrate: z.strictObject({ image, number }),
  'record-profile': z.strictObject({ image }),
  unmount: z.strictObject({}),
  restart: z.strictObject({ program: z.string().startsWith('/') }),
} as const;

export type RequestName = keyof typeof REQUESTS;
export type RequestBody<Name extends RequestName> = z.infer<(typeof REQUESTS)[Name]>;

/** Largest body, bytes: labels are the only free text. */
export const BODY_LIMIT_BYTES = 64 * 1024;

const CODES: Readonly<Record<ErrorCode, number>> = {
  USAGE: 400,
  NOT_FOUND: 404,
  EXISTS: 409,
  CONFLICT: 409,
  LOCKED: 423,
  BUSY: 409,
  READ_ONLY: 403,
  UNREACHABLE: 503,
  REFUSED: 502,
  DAMAGED: 500,
  UNSUPPORTED: 501,
  NO_SPACE: 507,
  IO: 500,
  TOO_LARGE: 413,
  STALE: 409,
  ABORTED: 500,
};

/** An error as it travels (also over the pipe of a starting daemon, and to stderr with `--json`). */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

const wireSchema = z.object({
  code: z.string(),
  message: z.string(),
  facts: z.record(z.string(), z.unknown()).optional(),
});

/** What is not ours (a bug, an errno) travels as IO with its message. */
export function toWire(error: unknown): WireError {
  if (error instanceof LazydiskError) {
    return { code: error.code, message: error.message, facts: plain(error.facts) };
  }
  return { code: 'IO', message: messageOf(error), facts: {} };
}

/** The error of the other side, as if it had been thrown here. */
export function fromWire(value: unknown): LazydiskError {
  const parsed = wireSchema.safeParse(value);
  if (!parsed.success)
    return new LazydiskError('IO', 'The daemon answered with something that is not an error of lazydisk.');
  const { code, message, facts } = parsed.data;
  return new LazydiskError(isErrorCode(code) ? code : 'IO', message, facts === undefined ? {} : { facts });
}

/** The HTTP status of an error. */
export function httpStatusOf(error: unknown): number {
  return error instanceof LazydiskError ? CODES[error.code] : 500;
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(CODES, code);
}

/** Facts hold anything; what JSON can't say is left out. */
function plain(facts: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(JSON.stringify(facts)) as Record<string, unknown>;
  } catch {
    return {};
  }
}
