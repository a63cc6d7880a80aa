/**
 * Who may ask the dashboard, decided from the head of a request. Pure.
 *
 * The page can commit and revert, so whoever asks has to know the token, which travels in a header: no browser adds that by
 * itself to what another page asks, as it would add a cookie. The other rules hold even if the token has leaked: a page from
 * elsewhere is told by its Origin or Sec-Fetch-Site. That the Host is one of this host is seen to by the listener.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { LazydiskError } from '../../lib/util/errors.js';

export type Access =
  | { readonly kind: 'granted' }
  | { readonly kind: 'refused'; readonly status: 401 | 403 | 405 | 415; readonly error: LazydiskError };

const GRANTED: Access = { kind: 'granted' };

/** Of a request below /api. */
export function decideAccess(method: string | undefined, headers: IncomingHttpHeaders, token: string): Access {
  const { origin, host, authorization } = headers;
  if (isFromElsewhere(headers))
    return refused(403, `The dashboard answers its own page only, not ${origin ?? 'another'}.`);
  if (!isToken(authorization, token)) {
    return refused(401, 'The dashboard needs its token: open the address that `lazydisk dashboard MOUNTPOINT` prints.');
  }
  if (method !== 'GET' && method !== 'POST') return refused(405, 'The dashboard takes GET and POST.');
  if (method === 'POST' && headers['content-type']?.split(';')[0]?.trim() !== 'application/json') {
    return refused(415, `The dashboard at ${host ?? '?'} takes bodies of application/json.`);
  }
  return GRANTED;
}

/** A browser says from where its page is; other programs say nothing. */
function isFromElsewhere({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (typeof site === 'string' && site !== 'same-origin' && site !== 'none') return true;
  return origin !== undefined && origin !== `http://${host ?? ''}` && origin !== `https://${host ?? ''}`;
}

/** In a time that does not depend on what was right of it. */
function isToken(authorization: string | undefined, token: string): boolean {
  const given = /^Bearer ([\w-]{1,256})$/.exec(authorization ?? '')?.[1];
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function refused(status: 401 | 403 | 405 | 415, message: string): Access {
  return { kind: 'refused', status, error: new LazydiskError(status === 403 ? 'REFUSED' : 'USAGE', message) };
}
