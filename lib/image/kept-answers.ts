/** What the store has said, kept in the local database for when it is away. Nothing here rejects. */
import type { LocalDatabase } from '../mirror/local-database.js';
import { messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';

export class KeptAnswers {
  /** What the database holds, as far as it was put by this process: the same is not put again. */
  private readonly stored = new Map<string, string>();

  constructor(
    private readonly database: Pick<LocalDatabase, 'get' | 'put'>,
    private readonly log: Log,
  ) {}

  /** Keeps a value as JSON. */
  async keep(key: string, value: unknown): Promise<void> {
    const text = JSON.stringify(value);
    if (this.stored.get(key) === text) return;
    this.stored.set(key, text);
    await this.remember(key, Buffer.from(text));
  }

  /** A local copy that can't be read (a damaged database) is none. */
  async recall(key: string): Promise<Buffer | undefined> {
    try {
      return await this.database.get(key);
    } catch (error) {
      this.log.warn('what the store said before can not be read locally', { key, error: messageOf(error) });
      return undefined;
    }
  }

  /** One that can't be written (a full disk) is missed only when the store is away. */
  async remember(key: string, bytes: Uint8Array): Promise<void> {
    try {
      await this.database.put(key, bytes);
    } catch (error) {
      this.stored.delete(key);
      this.log.warn('what the store says could not be kept locally', { key, error: messageOf(error) });
    }
  }
}
