/**
 * Counts HTTP requests by what a client sends, without parsing HTTP: no client here pipelines, so whatever begins with a
 * method right at the beginning of a piece from the client begins a request. (A body's piece could begin like that by chance:
 * one in millions, and not worth a parser on the way of each byte.)
 */
export interface RequestCounts {
  /** GETs of objects, ranged or not. */
  readonly gets: number;
  readonly lists: number;
  readonly heads: number;
  readonly puts: number;
  readonly posts: number;
  readonly deletes: number;
}

export const NO_REQUESTS: RequestCounts = { gets: 0, lists: 0, heads: 0, puts: 0, posts: 0, deletes: 0 };

const KINDS: Readonly<Record<string, keyof RequestCounts>> = {
  GET: 'gets',
  HEAD: 'heads',
  PUT: 'puts',
  POST: 'posts',
  DELETE: 'deletes',
};
/** A request line longer than this is counted all the same, but a list may then look like a GET. */
const LONGEST_LINE = 2048;
const IS_LIST = /[?&](list-type|prefix|delimiter|max-keys)=/;

/** The kind of the request that begins with this piece; undefined: it begins none. */
export function requestKind(piece: Uint8Array): keyof RequestCounts | undefined {
  const start = Buffer.from(piece.buffer, piece.byteOffset, Math.min(piece.length, LONGEST_LINE)).toString('latin1');
  const match = /^(GET|HEAD|PUT|POST|DELETE) (\S*)/.exec(start);
  if (match === null) return undefined;
  const [, method = '', target = ''] = match;
  return method === 'GET' && IS_LIST.test(target) ? 'lists' : KINDS[method];
}

/** All requests, whatever their kind. */
export function totalRequests(counts: RequestCounts): number {
  return Object.values(counts).reduce<number>((sum, count) => sum + (count as number), 0);
}
