/**
 * JSON documents of a repository: bytes <-> validated values.
 *
 * Every document is an object with `formatVersion`, most have `requires`. Version and features are looked at before
 * anything else, so that a newer document is reported as newer and not as damaged. Unknown fields are kept (they survive
 * decode and encode) and otherwise ignored. Encoding writes the known fields in the order of the schema.
 *
 * The last field is a checksum of all the text before it: a digit of a size that was changed on the way would be a valid
 * document otherwise, and readers would be told another disk. Documents without one (older, or made by hand) are taken as
 * they are.
 */
import type { z } from 'zod';
import { LazydiskError, messageOf } from '../util/errors.js';
import { sha256 } from './checksums.js';

/** Version of the format that this code reads and writes. */
export const FORMAT_VERSION = 1;

/** The feature of payloads that are stored with the codec `zstd`. */
export const ZSTD_FEATURE = 'zstd';

/** Features of `requires` that this code knows. */
export const KNOWN_FEATURES: readonly string[] = [ZSTD_FEATURE];

const CHECKSUM = 'checksum';
/** The end of a document that has one. */
const SEAL = /,\s*"checksum":\s*"([0-9a-f]{64})"\s*\}\s*$/;

/** A document is small; more is not one of ours. */
const MAX_DOCUMENT_BYTES = 1024 * 1024;
/** Ours are five levels deep. What is parsed can be nested deeper than what can be written again. */
const MAX_DEPTH = 32;

/**
 * Decodes a document. `name` is the object's key, for messages.
 * DAMAGED: no JSON, or not what the schema says. UNSUPPORTED: another version, or an unknown feature is required.
 */
export function decodeDocument<T>(bytes: Uint8Array, name: string, schema: z.ZodType<T>): T {
  const value = parse(bytes, name);
  checkVersion(value, name);
  assertKnownFeatures(value, name);
  const result = schema.safeParse(value);
  if (!result.success) throw damaged(name, firstIssue(result.error));
  return result.data;
}

/** Encodes a document, a field a line or all in one. USAGE when the value is not one that `decodeDocument` would accept. */
export function encodeDocument<T>(
  value: T,
  name: string,
  schema: z.ZodType<T>,
  layout: 'lines' | 'one line' = 'lines',
): Buffer {
  const result = schema.safeParse(value);
  if (!result.success) throw new LazydiskError('USAGE', `${name} can't be written: ${firstIssue(result.error)}.`);
  const text = layout === 'lines' ? JSON.stringify(result.data, null, 2) : JSON.stringify(result.data);
  const [unclosed, gap, end] =
    layout === 'lines' ? [text.slice(0, -2), '\n  ', '\n}\n'] : [text.slice(0, -1), '', '}\n'];
  const bytes = Buffer.from(`${unclosed},${gap}"${CHECKSUM}": "${sha256(Buffer.from(unclosed))}"${end}`, 'utf8');
  if (bytes.length <= MAX_DOCUMENT_BYTES) return bytes;
  throw new LazydiskError('USAGE', `${name} can't be written: it would have ${bytes.length} bytes.`);
}

/** An error that names the damaged object. */
export function damaged(name: string, what: string, cause?: unknown): LazydiskError {
  return new LazydiskError('DAMAGED', `${name} is damaged: ${what}.`, { facts: { object: name, what }, cause });
}

/** The object without its checksum, which is right if it is there. */
function parse(bytes: Uint8Array, name: string): Readonly<Record<string, unknown>> {
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw damaged(name, `it has ${bytes.length} bytes, at most ${MAX_DOCUMENT_BYTES} were expected`);
  }
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (depthOf(text) > MAX_DEPTH) throw new Error(`it is nested more than ${MAX_DEPTH} levels deep`);
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(name, `it is not JSON (${messageOf(error)})`, error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw damaged(name, 'a JSON object was expected');
  }
  const { [CHECKSUM]: checksum, ...document } = value as Record<string, unknown>;
  if (checksum !== undefined && !isSealed(text)) throw damaged(name, 'its checksum is wrong');
  return document;
}

/** How deep brackets and braces are nested, outside of strings. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let isString = false;
  for (let at = 0; at < text.length; at++) {
    const one = text[at];
    if (isString && one === '\\') at++;
    else if (one === '"') isString = !isString;
    else if (!isString && (one === '[' || one === '{')) deepest = Math.max(deepest, ++depth);
    else if (!isString && (one === ']' || one === '}')) depth--;
  }
  return deepest;
}

/** Whether the text ends with a checksum, and that is the one of what stands before it. */
function isSealed(text: string): boolean {
  const seal = SEAL.exec(text);
  return seal !== null && sha256(Buffer.from(text.slice(0, seal.index))) === seal[1];
}

function checkVersion(value: Readonly<Record<string, unknown>>, name: string): void {
  const version = value['formatVersion'];
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1) {
    throw damaged(name, 'formatVersion is not a positive whole number');
  }
  if (version !== FORMAT_VERSION) {
    throw new LazydiskError(
      'UNSUPPORTED',
      `${name} has format version ${version}; this lazydisk reads version ${FORMAT_VERSION}. Use a newer lazydisk.`,
      { facts: { object: name, formatVersion: version } },
    );
  }
}

/** UNSUPPORTED when `value.requires` names a feature that this code does not know. */
export function assertKnownFeatures(value: { readonly requires?: unknown }, name: string): void {
  const { requires } = value;
  if (!Array.isArray(requires)) return; // the schema says whether it must be there
  const unknown = requires.find((feature) => typeof feature === 'string' && !KNOWN_FEATURES.includes(feature)) as
    string | undefined;
  if (unknown === undefined) return;
  throw new LazydiskError(
    'UNSUPPORTED',
    `${name} needs the feature ${JSON.stringify(unknown.slice(0, 64))}, which this lazydisk does not know. Use a newer lazydisk.`,
    { facts: { object: name, feature: unknown } },
  );
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return 'it is not valid';
  const path = issue.path.map(String).join('.');
  return path === '' ? issue.message : `${path}: ${issue.message}`;
}
