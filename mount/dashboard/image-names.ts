/**
 * Which images there are, asked of the store once in a while and only while somebody looks: a page that stays open for days
 * must cost next to nothing. Where there are few, each is looked at once, so that the list can tell of all of them.
 */
import type { Catalogue } from '../../lib/image/api.js';
import type { ImageViews } from '../../lib/image/views.js';

const REFRESH_MS = 15_000;
/** How long the store may take, milliseconds. */
const PATIENCE_MS = 5000;
/** Images that are looked at in one go at most. */
const MOST_LOOKED_AT = 32;

export class ImageNames {
  private names: readonly string[] = [];
  private refreshing: Promise<void> | undefined;
  private refreshedMs = -Infinity;

  constructor(
    private readonly catalogue: Pick<Catalogue, 'names'> & ImageViews,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** What is known; asks anew behind it when that is old. */
  known(): readonly string[] {
    if (this.now() - this.refreshedMs >= REFRESH_MS) void this.refresh();
    return this.names;
  }

  /** A command has ended: there may be another image. */
  outdate(): void {
    this.refreshedMs = -Infinity;
  }

  /** Never rejects: what the store does not say stays as it was. */
  refresh(): Promise<void> {
    this.refreshedMs = this.now();
    this.refreshing ??= this.ask().finally(() => {
      this.refreshing = undefined;
    });
    return this.refreshing;
  }

  private async ask(): Promise<void> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    try {
      this.names = await this.catalogue.names(signal);
      const seen = new Set(this.catalogue.glances().map(({ image }) => image));
      const unseen = this.names.filter((name) => !seen.has(name));
      for (const name of unseen.slice(0, MOST_LOOKED_AT)) await this.catalogue.view(name, signal);
    } catch {
      // The store is away: the page says so by the mount's health.
    }
  }
}
