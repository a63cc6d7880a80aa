/**
 * How the kernel has each open file of a mount, kept for the daemon that may have to serve on: in which mode (the kernel refuses
 * to mix modes, and does not tell them: passthrough.ts), and how often under which handle, so that the file system goes on
 * counting who has a disk open.
 *
 * A change is kept before the reply that shows it to the kernel, but for a release, which is kept after it: so a daemon that
 * dies in between leaves a count that is too high, never one that is too low.
 */
import { Turns } from '../../lib/util/turns.js';
import type { RecordDatabase } from './request-records.js';

/** A node that is open. */
export interface OpenNode {
  /** Under which the kernel knows the file that it reads by itself; null: it asks us. */
  readonly backingId: number | null;
  /** How often, by the handle that was answered. None is 0. */
  readonly opens: Readonly<Record<number, number>>;
}

/** Opens of one node under one handle. */
export interface Opens {
  readonly node: number;
  readonly handle: number;
  readonly count: number;
}

export class OpenRecords {
  private readonly turns = new Turns();

  private constructor(
    private readonly database: RecordDatabase,
    private readonly prefix: string,
    /** What the daemon before this one has left. */
    readonly earlier: ReadonlyMap<number, OpenNode>,
  ) {}

  static async open(database: RecordDatabase, connection: string): Promise<OpenRecords> {
    const prefix = `fuse/${connection}/open/`;
    const earlier = new Map<number, OpenNode>();
    for await (const [key, value] of database.entries(prefix)) {
      earlier.set(Number(key.slice(prefix.length)), JSON.parse(value.toString()) as OpenNode);
    }
    return new OpenRecords(database, prefix, earlier);
  }

  /** What the file system is to be told of the daemon before this one. */
  *earlierOpens(): Generator<Opens> {
    for (const [node, { opens }] of this.earlier)
      for (const [handle, count] of Object.entries(opens)) yield { node, handle: Number(handle), count };
  }

  /** Keeps how a node is open now; undefined: it is not. One change after the other, in the order of the calls. */
  async keep(node: number, open: OpenNode | undefined): Promise<void> {
    const key = `${this.prefix}${String(node)}`;
    const change =
      open === undefined
        ? ({ type: 'delete', key } as const)
        : ({ type: 'put', key, value: Buffer.from(JSON.stringify(open)) } as const);
    await this.turns.take(() => this.database.batch([change]));
  }
}
