/**
 * Requests of the kernel as values. Numbers are exact (decode.ts refuses those that a double can't hold); `unique` is 64
 * bits wide, because the kernel marks a request that it sends again in the highest one.
 */
import type { AllocateMode, AttributeChanges, OpenFlags, Whence } from '../file-system.js';

/** What every request says. */
export interface RequestHeader {
  readonly opcode: number;
  readonly unique: bigint;
  readonly node: number;
  readonly uid: number;
  readonly gid: number;
  /** Id of the thread that asks; 0 for the kernel's own requests and for callers in a foreign pid namespace. */
  readonly pid: number;
}

/** What an operation asks for. */
export type Operation =
  | { readonly kind: 'lookup'; readonly name: string }
  | { readonly kind: 'getattr' }
  | { readonly kind: 'setattr'; readonly changes: SetAttributes }
  | { readonly kind: 'readlink' }
  | { readonly kind: 'mkdir'; readonly name: string; readonly mode: number }
  | { readonly kind: 'create'; readonly name: string; readonly mode: number; readonly flags: OpenFlags }
  /** SYMLINK, LINK, MKNOD: all are refused alike, so only the name is kept. */
  | { readonly kind: 'make-other'; readonly name: string }
  | { readonly kind: 'unlink'; readonly name: string }
  | { readonly kind: 'rmdir'; readonly name: string }
  /** `flags` as renameat2(2) has them; 0 for a plain rename. */
  | {
      readonly kind: 'rename';
      readonly name: string;
      readonly newParent: number;
      readonly newName: string;
      readonly flags: number;
    }
  | { readonly kind: 'open'; readonly flags: OpenFlags }
  | { readonly kind: 'read'; readonly handle: number; readonly offset: number; readonly lengthBytes: number }
  | { readonly kind: 'write'; readonly handle: number; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'flush'; readonly handle: number }
  | { readonly kind: 'release'; readonly handle: number }
  | { readonly kind: 'fsync'; readonly handle: number }
  | { readonly kind: 'allocate'; readonly mode: AllocateMode; readonly offset: number; readonly lengthBytes: number }
  | { readonly kind: 'seek'; readonly offset: number; readonly whence: Whence }
  | { readonly kind: 'opendir' }
  /** `position` is what the last entry said, 0 for the start; `lengthBytes` bounds the reply. */
  | {
      readonly kind: 'readdir';
      readonly handle: number;
      readonly position: number;
      readonly lengthBytes: number;
      readonly withAttributes: boolean;
    }
  | { readonly kind: 'releasedir'; readonly handle: number }
  | { readonly kind: 'fsyncdir' }
  | { readonly kind: 'statfs' }
  /** The kernel is done with the connection. */
  | { readonly kind: 'destroy' }
  /** The caller of another request got a signal. No reply. */
  | { readonly kind: 'interrupt'; readonly target: bigint }
  /** FORGET, BATCH_FORGET, NOTIFY_REPLY: nothing to do, no reply. */
  | { readonly kind: 'ignored' }
  /** Known or not, it is not served: refusals.ts has the errno. */
  | { readonly kind: 'refused' };

/** The attributes that SETATTR sets; a time of `now` is the moment of the request. */
export interface SetAttributes extends Omit<AttributeChanges, 'atimeMs' | 'mtimeMs'> {
  readonly atimeMs?: number | 'now';
  readonly mtimeMs?: number | 'now';
}

export interface Request {
  readonly header: RequestHeader;
  readonly operation: Operation;
}

/** A request that can't be served, and what to answer. */
export interface BadRequest {
  readonly opcode: number;
  /** undefined: not even the header could be read, so there is nothing to answer. */
  readonly unique: bigint | undefined;
  readonly errno: string;
  readonly reason: string;
}

export type Decoded =
  { readonly ok: true; readonly request: Request } | { readonly ok: false; readonly bad: BadRequest };
