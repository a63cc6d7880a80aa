/**
 * Permanent node ids: which number stands for which content, kept in the state's database.
 *
 * A number, once given, never names anything else, not after a restart and not after what it named is gone: the kernel may
 * hold it for as long as it likes, and the page cache hangs on it. So numbers come from a counter that only grows, and are
 * durable (synced) before anybody sees them. The counter and the entries of one allocation are one batch.
 *
 * Allocations that arrive while a write is under way share the next one: a listing, or a hundred lookups at once, cost one
 * sync. When a write fails its callers get the error; its entries keep waiting, with the same numbers, for the next write.
 *
 * Both directions are held in memory (some 200 bytes an entry; a mount sees a handful of nodes per image that was looked at)
 * and are rebuilt from the database at the start. Entries are never removed.
 *
 * A database that was damaged and salvaged may have lost entries, and the counter with them. From then on the counter
 * stands beyond the time of the salvage, as a number that no earlier counter can have reached.
 */
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { DatabaseOperation, LocalDatabase } from '../../lib/mirror/local-database.js';
import { SALVAGED_KEY } from '../../lib/mirror/state-database.js';
import { ROOT_NODE } from '../fuse/file-system.js';
import { formatTarget, parseTarget, type Target } from './targets.js';

/** What node ids need of the state's database. */
export type NodeDatabase = Pick<LocalDatabase, 'get' | 'batch' | 'entries'>;

const ENTRY_PREFIX = 'tree/node/';
const COUNTER_KEY = 'tree/next-node';
/** 1 is the root; a few are left free for nodes that a later version may want to fix. */
const FIRST_NODE = 16;
/** More numbers than a state directory gives in a second; times the seconds since 1970 they stay below 2^53 for a century. */
const NODES_PER_SECOND = 2 ** 20;

interface Waiting {
  readonly text: string;
  readonly target: Target;
  readonly node: number;
}

export class NodeIds {
  /** Durable ones only. */
  readonly #nodes = new Map<string, number>();
  readonly #targets = new Map<number, Target>();
  /** Have a number that is not durable yet. */
  readonly #waiting = new Map<string, Waiting>();
  /** The write that is under way, or the last one. */
  #running: Promise<void> = Promise.resolve();
  /** The write after it, once somebody waits for it. */
  #scheduled: Promise<void> | undefined;

  private constructor(
    private readonly database: NodeDatabase,
    private counter: number,
  ) {}

  /** Reads what earlier runs have given. DAMAGED when the database holds what it can't hold. */
  static async open(database: NodeDatabase): Promise<NodeIds> {
    const ids = new NodeIds(database, FIRST_NODE);
    ids.#remember(formatTarget({ kind: 'root' }), { kind: 'root' }, ROOT_NODE);
    for await (const [key, value] of database.entries(ENTRY_PREFIX)) {
      const text = key.slice(ENTRY_PREFIX.length);
      const node = parseNode(key, value);
      const target = parseTarget(text);
      if (target !== undefined) ids.#remember(text, target, node);
      ids.counter = Math.max(ids.counter, node + 1);
    }
    const counter = await database.get(COUNTER_KEY);
    if (counter !== undefined) ids.counter = Math.max(ids.counter, parseNode(COUNTER_KEY, counter));
    const salvagedMs = Number((await database.get(SALVAGED_KEY))?.toString('latin1') ?? 0);
    ids.counter = Math.max(ids.counter, Math.floor(salvagedMs / 1000) * NODES_PER_SECOND);
    return ids;
  }

  /** What a number names, or undefined when it was never given by this state directory. */
  targetOf(node: number): Target | undefined {
    return this.#targets.get(node);
  }

  /** The number of a target. IO when it can't be made durable. */
  async nodeOf(target: Target): Promise<number> {
    const [node] = await this.nodesOf([target]);
    return node!;
  }

  /** The numbers of targets, in their order, with one sync for all. */
  async nodesOf(targets: readonly Target[]): Promise<number[]> {
    const texts = targets.map(formatTarget);
    let missing = false;
    targets.forEach((target, index) => {
      const text = texts[index]!;
      if (this.#nodes.has(text)) return;
      missing = true;
      if (!this.#waiting.has(text)) this.#waiting.set(text, { text, target, node: this.counter++ });
    });
    if (missing) await this.#flush();
    return texts.map((text) => this.#nodes.get(text)!);
  }

  /** Resolves when everything that waits now is durable. One that has not begun yet takes newcomers along. */
  #flush(): Promise<void> {
    this.#scheduled ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#scheduled = undefined;
        this.#running = this.#write();
        return this.#running;
      });
    return this.#scheduled;
  }

  async #write(): Promise<void> {
    const batch = [...this.#waiting.values()];
    if (batch.length === 0) return;
    const operations: DatabaseOperation[] = batch.map((entry) => ({
      type: 'put',
      key: ENTRY_PREFIX + entry.text,
      value: Buffer.from(String(entry.node)),
    }));
    operations.push({ type: 'put', key: COUNTER_KEY, value: Buffer.from(String(this.counter)) });
    try {
      await this.database.batch(operations, { sync: true });
    } catch (error) {
      throw new LazydiskError('IO', `Node ids can't be kept in the state directory: ${messageOf(error)}.`, {
        cause: error,
      });
    }
    for (const entry of batch) {
      this.#remember(entry.text, entry.target, entry.node);
      this.#waiting.delete(entry.text);
    }
  }

  #remember(text: string, target: Target, node: number): void {
    this.#nodes.set(text, node);
    this.#targets.set(node, target);
  }
}

function parseNode(key: string, value: Buffer): number {
  const node = Number(value.toString('latin1'));
  if (Number.isSafeInteger(node) && node >= FIRST_NODE) return node;
  throw new LazydiskError(
    'DAMAGED',
    `The state's database holds no node id under ${key}: remove the state directory's database and mount again.`,
  );
}
