/**
 * The bases of a mount, by their tree: shared by all disks that stand on it, and counted.
 *
 * One that nobody uses stays for a while, since disks are often opened again: the longest unused go first.
 */
import type { TreeShape } from '../repository/api.js';
import { Base } from './base.js';
import type { BaseParts, BaseTree } from './base.js';

export class Bases {
  private readonly held = new Map<string, { base: Base; users: number }>();

  constructor(
    private readonly parts: BaseParts,
    private readonly maxIdle = 16,
  ) {}

  /** The base of a snapshot, to be given back with `release`. */
  acquire(record: BaseTree): Base {
    const key = keyOf(record);
    const known = this.held.get(key);
    if (known !== undefined) {
      known.users++;
      return known.base;
    }
    const base = new Base(record, this.parts);
    this.held.set(key, { base, users: 1 });
    return base;
  }

  /** The base of a tree that is open or was a while ago, without holding it. */
  peek(record: BaseTree): Base | undefined {
    return this.held.get(keyOf(record))?.base;
  }

  /** One more user of a base that is in use. */
  retain(base: Base): void {
    const known = this.held.get(keyOf(base.tree));
    if (known?.base === base) known.users++;
  }

  async release(base: Base): Promise<void> {
    const key = keyOf(base.tree);
    const known = this.held.get(key);
    if (known?.base !== base) return;
    known.users--;
    if (known.users > 0) return;
    // To the end of the line: the map is in order of last use.
    this.held.delete(key);
    this.held.set(key, known);
    const idle = [...this.held].filter(([, entry]) => entry.users === 0);
    for (const [idleKey, entry] of idle.slice(0, Math.max(0, idle.length - this.maxIdle))) {
      this.held.delete(idleKey);
      await entry.base.release();
    }
  }
}

function keyOf(tree: TreeShape): string {
  return `${tree.root?.id ?? 'zero'}/${tree.sizeBytes}/${tree.chunkSizeBytes}`;
}
