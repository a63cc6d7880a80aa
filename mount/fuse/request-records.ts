/**
 * Requests that must not be done twice, although the kernel may send them twice: once to a daemon that died before it had
 * answered, once more to the next one. They are commands (writes to control files) and what makes or removes names.
 *
 * A request is recorded as begun before it is done, with its answer before that is given, and forgotten afterwards; under the
 * name of its connection and its number, in which the mark of a request that was sent again (RESENT_BIT) does not count.
 * So the next daemon knows of each request that comes again whether it was never begun (then it is new), was begun (nobody
 * knows how far it came), or is answered: then it gives that answer, and does nothing.
 *
 * Records survive the process and not the host: neither does the connection.
 */
import type { LocalDatabase } from '../../lib/mirror/local-database.js';

/** What records need of the state's database. */
export type RecordDatabase = Pick<LocalDatabase, 'put' | 'batch' | 'entries'>;

/** All that the fuse room keeps: `fuse/<connection>/<what>/…`. */
const PREFIX = 'fuse/';
const NUMBER_BITS = 63;
const BEGUN = 0;
const BODY = 1;
const ERRNO = 2;

/** The answer to a request: the body of the reply, or a positive errno. */
export type RequestAnswer =
  { readonly kind: 'body'; readonly body: Uint8Array } | { readonly kind: 'errno'; readonly errno: number };

/** What a daemon that is gone has left of a request. */
export type EarlierRun = { readonly kind: 'begun' } | RequestAnswer;

export class RequestRecords {
  private constructor(
    private readonly database: RecordDatabase,
    private readonly prefix: string,
    private readonly earlier: Map<string, EarlierRun>,
  ) {}

  /** Reads what earlier daemons of this connection have left, and removes what is left of all other connections. */
  static async open(database: RecordDatabase, connection: string): Promise<RequestRecords> {
    const ours = `${PREFIX}${connection}/`;
    const prefix = `${ours}request/`;
    const earlier = new Map<string, EarlierRun>();
    const others: string[] = [];
    for await (const [key, value] of database.entries(PREFIX)) {
      if (key.startsWith(prefix)) earlier.set(key.slice(prefix.length), decode(value));
      else if (!key.startsWith(ours)) others.push(key);
    }
    await database.batch(others.map((key) => ({ type: 'delete', key })));
    return new RequestRecords(database, prefix, earlier);
  }

  /** What became of the request under an earlier daemon; undefined: it is new. */
  earlierRun(unique: bigint): EarlierRun | undefined {
    return this.earlier.get(nameOf(unique));
  }

  async begun(unique: bigint): Promise<void> {
    await this.database.put(this.prefix + nameOf(unique), Buffer.of(BEGUN));
  }

  async answered(unique: bigint, answer: RequestAnswer): Promise<void> {
    await this.database.put(this.prefix + nameOf(unique), encode(answer));
  }

  /** The kernel has the answer: it will not ask again. */
  async forget(unique: bigint): Promise<void> {
    const name = nameOf(unique);
    this.earlier.delete(name);
    await this.database.batch([{ type: 'delete', key: this.prefix + name }]);
  }
}

/** The number of a request as it was before it was sent again. */
function nameOf(unique: bigint): string {
  return BigInt.asUintN(NUMBER_BITS, unique).toString();
}

function encode(answer: RequestAnswer): Buffer {
  if (answer.kind === 'body') return Buffer.concat([Buffer.of(BODY), answer.body]);
  const bytes = Buffer.of(ERRNO, 0, 0, 0, 0);
  bytes.writeInt32LE(answer.errno, 1);
  return bytes;
}

function decode(value: Buffer): EarlierRun {
  if (value[0] === BODY) return { kind: 'body', body: value.subarray(1) };
  if (value[0] === ERRNO && value.length === 5) return { kind: 'errno', errno: value.readInt32LE(1) };
  return { kind: 'begun' };
}
