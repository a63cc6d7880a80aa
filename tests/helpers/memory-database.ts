/**
 * The part of LocalDatabase that the tree uses, in memory: `lose` forgets what was not synced, `fail` makes writes fail.
 */
import type { DatabaseOperation, WriteOptions } from '../../lib/mirror/local-database.js';

export class MemoryDatabase {
  readonly #entries = new Map<string, Buffer>();
  readonly #durable = new Map<string, Buffer>();
  /** Batches and puts so far. */
  writes = 0;
  failure: Error | undefined;

  async get(key: string): Promise<Buffer | undefined> {
    return this.#entries.get(key);
  }

  async put(key: string, value: Uint8Array, options: WriteOptions = {}): Promise<void> {
    await this.batch([{ type: 'put', key, value }], options);
  }

  async batch(operations: readonly DatabaseOperation[], options: WriteOptions = {}): Promise<void> {
    this.writes++;
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    for (const operation of operations) {
      if (operation.type === 'put') this.#entries.set(operation.key, Buffer.from(operation.value));
      else this.#entries.delete(operation.key);
    }
    // LevelDB's log is written in order: syncing one batch makes all before it durable.
    if (options.sync !== true) return;
    this.#durable.clear();
    for (const [key, value] of this.#entries) this.#durable.set(key, value);
  }

  async *entries(prefix: string): AsyncGenerator<[key: string, value: Buffer], void, undefined> {
    for (const key of [...this.#entries.keys()].sort()) {
      if (key.startsWith(prefix)) yield [key, this.#entries.get(key)!];
    }
  }

  /** The host is lost: only what was synced is left. */
  lose(): void {
    this.#entries.clear();
    for (const [key, value] of this.#durable) this.#entries.set(key, value);
  }
}
