/** Bodies of requests over HTTP: JSON of a bounded length, checked against what the request takes. */
import type { IncomingMessage } from 'node:http';
import { LazydiskError } from '../../lib/util/errors.js';
import { BODY_LIMIT_BYTES, REQUESTS, type RequestBody, type RequestName } from './control-protocol.js';

/** An empty body is `{}`. TOO_LARGE, USAGE. */
export async function readJsonBody(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > BODY_LIMIT_BYTES) {
      throw new LazydiskError('TOO_LARGE', `A control request has at most ${String(BODY_LIMIT_BYTES)} bytes.`);
    }
    parts.push(part);
  }
  if (length === 0) return {};
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch (error) {
    throw new LazydiskError('USAGE', 'The body of a control request must be JSON.', { cause: error });
  }
}

/** USAGE names the field. */
export function checkedBody<Name extends RequestName>(name: Name, body: unknown): RequestBody<Name> {
  const parsed = REQUESTS[name].safeParse(body);
  if (parsed.success) return parsed.data as RequestBody<Name>;
  const issue = parsed.error.issues[0];
  throw new LazydiskError(
    'USAGE',
    `The body of ${name} is wrong at "${issue?.path.join('.') ?? ''}": ${issue?.message ?? 'not valid'}.`,
  );
}
