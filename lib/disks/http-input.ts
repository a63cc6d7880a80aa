/**
 * The bytes of an http(s) URL, in order, over as many connections as it takes.
 *
 * A connection that breaks, is silent or ends too early is followed by another, which asks for the rest. The rest of what: a server
 * says by ETag or Last-Modified which version it sends, and another version is an error. Where it says neither, only a checksum of the whole
 * tells, so without one the transfer fails instead of going on. Pauses grow while nothing comes; a byte makes them short again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Bytes } from '../format/geometry.js';
import { throwIfAborted } from '../util/abort.js';
import { errnoOf, hasCode, LazydiskError, messageOf } from '../util/errors.js';
import { assertEndShows, assertSame, nextRequest, versionOf, type Version } from './http-version.js';
import { changedError } from './image-source.js';
import type { Input } from './input.js';

export interface HttpOptions {
  /** The whole is checked by its checksum, so that it needs no version. */
  readonly isChecked: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly timing?: HttpTiming | undefined;
}

export interface HttpTiming {
  /** A connection that brings nothing for so long has broken. */
  readonly silenceMs: number;
  /** Before the second try; each pause without a byte before it is twice as long. */
  readonly firstPauseMs: number;
  /** So many connections in a row that bring nothing, and it is given up. */
  readonly mostFailures: number;
}

const TIMING: HttpTiming = { silenceMs: 30_000, firstPauseMs: 500, mostFailures: 7 };

/** A connection that may be followed by another. */
class Broken extends Error {}

/**
 * Resolves when the server has begun to answer. USAGE (no such URL), NOT_FOUND, REFUSED, UNREACHABLE, CONFLICT (it changed meanwhile),
 * UNSUPPORTED (a part of it could not be told from the whole): at once, or where the bytes would have come.
 */
export async function openHttp(
  address: string,
  { isChecked, signal, timing = TIMING }: HttpOptions,
): Promise<{ input: Input; sizeBytes: Bytes | null; name: string }> {
  const { url, headers, name } = parse(address);
  const closing = new AbortController();
  const ending = signal === undefined ? closing.signal : AbortSignal.any([closing.signal, signal]);
  const transfer = new Transfer({ url, headers, name, isChecked, signal: ending, timing });
  await transfer.begin();
  return {
    name,
    sizeBytes: transfer.sizeBytes,
    input: {
      [Symbol.asyncIterator]: () => transfer.pieces(),
      close() {
        closing.abort();
        return Promise.resolve();
      },
    },
  };
}

interface TransferSettings {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly name: string;
  readonly isChecked: boolean;
  readonly signal: AbortSignal;
  readonly timing: HttpTiming;
}

class Transfer {
  /** As far as an answer tells. */
  sizeBytes: Bytes | null = null;
  #version: Version | null = null;
  #position = 0;
  #failures = 0;
  #body: ReadableStreamDefaultReader<Uint8Array> | null = null;
  /** What a server that can't begin in the middle sends again. */
  #skipBytes = 0;
  #connection = new AbortController();

  constructor(private readonly settings: TransferSettings) {}

  async begin(): Promise<void> {
    await this.#insisting(() => this.#connect());
  }

  async *pieces(): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const piece = await this.#insisting(() => this.#next());
        if (piece === null) return;
        this.#position += piece.length;
        this.#failures = 0;
        yield piece;
      }
    } finally {
      this.#connection.abort();
    }
  }

  /** The next bytes; null at the end. */
  async #next(): Promise<Buffer | null> {
    if (this.#body === null) await this.#connect();
    for (;;) {
      const { done, value } = await this.#unlessSilent(this.#body!.read());
      if (done) {
        if (this.sizeBytes === null || this.#position === this.sizeBytes) return null;
        throw new Broken(`the connection ended after ${this.#position} of ${this.sizeBytes} bytes`);
      }
      const skipped = Math.min(this.#skipBytes, value.length);
      this.#skipBytes -= skipped;
      if (skipped < value.length) return Buffer.from(value.buffer, value.byteOffset + skipped, value.length - skipped);
    }
  }

  async #connect(): Promise<void> {
    const { url, headers, signal, name, isChecked } = this.settings;
    this.#connection = new AbortController();
    const response = await this.#unlessSilent(
      fetch(url, {
        headers: { ...headers, ...nextRequest(this.#position, this.#version) },
        signal: AbortSignal.any([signal, this.#connection.signal]),
      }),
    );
    assertGood(response, name);
    const version = versionOf(response);
    if (this.#version === null) this.#version = version;
    else assertSame(this.#version, version, name, isChecked);
    this.sizeBytes ??= version.sizeBytes;
    if (this.sizeBytes === null && !isChecked) assertEndShows(response, name);
    // 206 begins where it was asked to, or it is another file; 200 begins at the beginning.
    if (response.status === 206 && version.beginsAt !== this.#position) throw changedError(name);
    this.#skipBytes = response.status === 206 ? 0 : this.#position;
    if (response.body === null) throw new Broken('the server sent nothing');
    this.#body = response.body.getReader();
  }

  /** Tries again while it makes sense. */
  async #insisting<T>(step: () => Promise<T>): Promise<T> {
    const { signal, timing, name } = this.settings;
    for (;;) {
      try {
        return await step();
      } catch (error) {
        throwIfAborted(signal);
        this.#connection.abort();
        this.#body = null;
        if (error instanceof LazydiskError && !hasCode(error, 'UNREACHABLE')) throw error;
        if (this.#version === null && isUnknownHost(error)) throw unknownHost(this.settings.url);
        if (++this.#failures >= timing.mostFailures) throw unreachable(name, error);
        await delay(timing.firstPauseMs * 2 ** (this.#failures - 1), undefined, { signal }).catch(() => undefined);
        throwIfAborted(signal);
      }
    }
  }

  async #unlessSilent<T>(step: Promise<T>): Promise<T> {
    step.catch(() => undefined); // when the silence was told before
    const seconds = this.settings.timing.silenceMs / 1000;
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Broken(`the server was silent for ${seconds} s`));
      }, this.settings.timing.silenceMs);
    });
    try {
      return await Promise.race([step, silence]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** NOT_FOUND, REFUSED, UNSUPPORTED; UNREACHABLE when another try may help. */
function assertGood({ status, statusText, headers, body }: Response, name: string): void {
  const packedBy = headers.get('content-encoding') ?? 'identity';
  if ((status === 200 || status === 206) && packedBy === 'identity') return;
  void body?.cancel().catch(() => undefined);
  if (status === 200 || status === 206) {
    throw new LazydiskError(
      'UNSUPPORTED',
      `The server of ${name} packs it by ${packedBy} on the way, though it was asked not to; fetch it with another program and import the file.`,
    );
  }
  const answer = `${status} ${statusText}`.trim();
  if (status === 404 || status === 410) {
    throw new LazydiskError('NOT_FOUND', `${name} does not exist: the server answered ${answer}.`);
  }
  if (status === 416) throw changedError(name);
  if (status === 408 || status === 429 || status >= 500) {
    throw new LazydiskError('UNREACHABLE', `the server answered ${answer}`);
  }
  throw new LazydiskError('REFUSED', `${name} can't be had: the server answered ${answer}.`, { facts: { status } });
}

/** Name and password leave the URL: they are said in a header, and never in a message. USAGE. */
function parse(address: string): { url: URL; headers: Record<string, string>; name: string } {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new LazydiskError('USAGE', `${JSON.stringify(address)} is no http or https URL.`);
  }
  const { username, password } = url;
  url.username = '';
  url.password = '';
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  const isOpen = username === '' && password === '';
  // A query may be a signature.
  return { url, headers: isOpen ? {} : { authorization: `Basic ${login}` }, name: `${url.origin}${url.pathname}` };
}

/** Of a transfer that has begun, the host was known: its name will be again. */
function isUnknownHost(error: unknown): boolean {
  return errnoOf((error as { cause?: unknown } | null)?.cause) === 'ENOTFOUND';
}

function unknownHost({ hostname }: URL): LazydiskError {
  return new LazydiskError('UNREACHABLE', `No name server knows the host ${hostname}: check the URL.`);
}

function unreachable(name: string, error: unknown): LazydiskError {
  const cause = (error as { cause?: unknown } | null)?.cause;
  const reason = messageOf(error instanceof TypeError && cause !== undefined ? cause : error);
  return new LazydiskError('UNREACHABLE', `${name} can't be read to its end: ${reason}; try again later.`, {
    cause: error,
  });
}
