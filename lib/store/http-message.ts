/**
 * HTTP/1.1 as far as a client of an S3 server needs it: heads to text and back, and how long a body is. Pure.
 *
 * What comes from a server is untrusted. A head that could be read in two ways (two lengths, a length beside a transfer coding,
 * folded lines) is refused and not interpreted, since whoever reads it otherwise would take a part of a body for an answer. What
 * goes out can't be broken by what it holds: a line break in a header is a defect of ours, and throws.
 *
 * Source: RFC 9112 (HTTP/1.1), RFC 9110 (semantics).
 */

/** The beginning of an answer. Names of headers are lower-case; of several with one name, the values are joined by commas. */
export interface AnswerHead {
  readonly status: number;
  /** Of HTTP/1. */
  readonly minorVersion: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** How the end of a body is found. */
export type BodyFraming =
  | { readonly kind: 'measured'; readonly sizeBytes: number }
  | { readonly kind: 'chunked' }
  /** It ends with the connection. */
  | { readonly kind: 'until-close' };

/** An answer that is not HTTP as this client understands it. */
export class HttpError extends Error {}

export const HEAD_END = '\r\n\r\n';

/** What is sent before the body. Throws where a part is not printable ASCII. */
export function requestHead(method: string, path: string, headers: Readonly<Record<string, string>>): string {
  let text = `${checked(method)} ${checked(path)} HTTP/1.1\r\n`;
  for (const [name, value] of Object.entries(headers)) text += `${checked(name)}: ${checked(value)}\r\n`;
  return `${text}\r\n`;
}

/** The head in `text`, which ends before the empty line. Throws HttpError. */
export function parseHead(text: string): AnswerHead {
  const [first = '', ...lines] = text.split('\r\n');
  const [, minorVersion, status] = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: |$)/.exec(first) ?? [];
  if (status === undefined) throw new HttpError('the answer is not HTTP');
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^`|~\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new HttpError('the answer has a header that is none');
    const key = name.toLowerCase();
    headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`;
  }
  return { status: Number(status), minorVersion: Number(minorVersion), headers };
}

/** How the body of an answer ends. Throws HttpError where the head leaves that open. */
export function bodyFraming({ status, headers }: AnswerHead): BodyFraming {
  if (status === 204 || status === 304) return { kind: 'measured', sizeBytes: 0 };
  const length = headers['content-length'];
  const coding = headers['transfer-encoding'];
  if (coding !== undefined) {
    if (length !== undefined || coding.toLowerCase() !== 'chunked') {
      throw new HttpError('the answer does not say how long it is');
    }
    return { kind: 'chunked' };
  }
  if (length === undefined) return { kind: 'until-close' };
  if (!/^\d{1,15}$/.test(length)) throw new HttpError('the answer has a length that is none');
  return { kind: 'measured', sizeBytes: Number(length) };
}

/** Whether the connection may carry another request after this answer. */
export function keepsConnection({ minorVersion, headers }: AnswerHead): boolean {
  return minorVersion === 1 && !/(?:^|,)\s*close\s*(?:,|$)/i.test(headers.connection ?? '');
}

function checked(text: string): string {
  if (!/^[\x20-\x7e]*$/.test(text)) throw new TypeError('a request holds a character that no head may have');
  return text;
}
