/**
 * Bytes by key: all that lazydisk needs of a store.
 *
 * Everything S3 has beyond this is not used: read after write, ranged GET, atomic PUT, If-None-Match on PUT, LIST, DELETE.
 * Retrying, limiting, timeouts and fault injection are decorators over this interface, never options inside a store.
 * Every method may be called at any time, any number at once. Errors are LazydiskError:
 *   USAGE        a key that no store accepts (lib/store/keys.ts), a range without bytes
 *   NOT_FOUND    the key does not exist
 *   EXISTS       `ifAbsent` and the key exists
 *   REFUSED      credentials, rights, a missing bucket (then facts.bucket): final
 *   NO_SPACE     the store's disk is full (directory)
 *   UNSUPPORTED  the store lacks what the call needs, as hard links or If-None-Match: final
 *   UNREACHABLE  connection trouble, 5xx, 408, 409, 429, RequestTimeout, a body that ended early: may be tried again.
 *                The effect of a put or delete that ended so is unknown.
 *   DAMAGED      an object that is shorter than the range that was asked for
 *   IO           the store's disk failed (directory)
 *   ABORTED      the signal fired
 */

/** A part of an object, bytes. */
export interface ByteRange {
  readonly offsetBytes: number;
  /** At least 1. */
  readonly lengthBytes: number;
}

/** What a listing says of an object. */
export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** Time of the last change by the store's clock, milliseconds since 1970. */
  readonly modifiedMs: number;
}

/** A listing: objects, and with a delimiter the common prefixes (each ends with `/`). Both in key order. */
export interface Listing {
  readonly objects: readonly StoredObject[];
  readonly prefixes: readonly string[];
}

/** Options that every call takes. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Told of a body as it arrives: the first `filledBytes` bytes of `whole` are there, and stay. `whole` is the very buffer that
 * the get will return, and it is the caller's to read from then on. A try that begins again brings another buffer, so
 * `filledBytes` may fall. The last call before the get resolves tells of all bytes (an empty object has none); none comes
 * after the get has settled. It must return at once and must not throw.
 */
export type OnBytes = (whole: Buffer, filledBytes: number) => void;

export interface GetOptions extends CallOptions {
  /** Undefined: the whole object. */
  readonly range?: ByteRange | undefined;
  /** A store may call it for each piece that a connection brings, or once. */
  readonly onBytes?: OnBytes | undefined;
}

/**
 * Asked before bytes are sent: resolves when so many may go. Rejects with ABORTED when the signal fires first.
 */
export type Pace = (sizeBytes: number, signal: AbortSignal | undefined) => Promise<void>;

export interface PutOptions extends CallOptions {
  /** The put fails with EXISTS when the key is there. */
  readonly ifAbsent?: boolean;
  /** A store asks it piece by piece, or once, for all bytes in the end; each try anew. */
  readonly pace?: Pace | undefined;
}

export interface ListOptions extends CallOptions {
  /** The listing stops at the next one after the prefix. */
  readonly delimiter?: '/' | undefined;
  /** A store that gathers a listing piece by piece calls it after each of them. It must return at once and must not throw. */
  readonly onPiece?: (() => void) | undefined;
}

export interface ObjectStore {
  /** What it is, for messages: `s3://bucket/prefix`, `file:///dir`. Never holds credentials. */
  readonly location: string;

  /** The whole object, or exactly the range. The buffer belongs to the caller. */
  get(key: string, options?: GetOptions): Promise<Buffer>;

  /**
   * Stores the bytes under the key, whole or not at all, durable when it resolves. With `ifAbsent` exactly one of any
   * number of racing callers succeeds, the others get EXISTS and change nothing. `bytes` must not change meanwhile.
   */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void>;

  /** All that begins with `prefix`, read after write. Any number of objects. */
  list(prefix: string, options?: ListOptions): Promise<Listing>;

  /** Removes the object; resolves also when there was none. */
  delete(key: string, options?: CallOptions): Promise<void>;

  /** Gives up connections. No call may follow. */
  close(): Promise<void>;
}
