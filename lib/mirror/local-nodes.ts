/**
 * A local copy of tree nodes, lent to the repository: a mount that knows its trees opens images while the store is away.
 *
 * Nodes are named by the hash of their bytes and the repository verifies each one that it gets from here, so nothing is
 * checked here, and an entry never goes stale. A copy that can't be written is no error: the node is fetched again.
 * Nothing is ever removed; nodes are about 0.03 % of the image that they describe.
 */
import type { NodeId } from '../format/references.js';
import type { NodeCache } from '../repository/api.js';
import { messageOf } from '../util/errors.js';
import { silentLog, type Log } from '../util/log.js';
import type { LocalDatabase } from './local-database.js';

export class LocalNodes implements NodeCache {
  constructor(
    private readonly database: LocalDatabase,
    private readonly log: Log = silentLog,
  ) {}

  async get(id: NodeId): Promise<Buffer | undefined> {
    return this.database.get(keyOf(id));
  }

  async put(id: NodeId, encoded: Uint8Array): Promise<void> {
    try {
      await this.database.put(keyOf(id), encoded);
    } catch (error) {
      this.log.warn('a tree node could not be kept locally', { node: id, error: messageOf(error) });
    }
  }
}

function keyOf(id: NodeId): string {
  return `node/${id}`;
}
