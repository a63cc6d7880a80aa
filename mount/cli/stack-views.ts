/**
 * Stacks what a mount shows of itself to those who look from outside: metrics and dashboard, each only where it was asked for,
 * since what they load is large. Called by stack.ts when there is a tree to look at.
 */
import type { Catalogue } from '../../lib/image/api.js';
import type { ImageViews } from '../../lib/image/views.js';
import type { Mirror } from '../../lib/mirror/api.js';
import type { Log } from '../../lib/util/log.js';
import { ReadTimes } from '../dashboard/read-times.js';
import type { Driver } from '../fuse/driver.js';
import type { MetricSources } from '../metrics/facts.js';
import type { Metrics } from '../metrics/metrics.js';
import { serveMetrics } from '../metrics/serve.js';
import type { CountingStore } from '../service/counting-store.js';
import type { MountSettings } from '../service/settings.js';
import type { Tree, TreeObserver } from '../tree/tree.js';
import type { controlCommands } from './control-commands.js';
import { programVersion } from './version.js';

/** What there is to be looked at. */
export interface ViewedParts {
  readonly settings: MountSettings;
  readonly catalogue: Catalogue & ImageViews;
  readonly mirror: Mirror;
  readonly driver: Driver;
  readonly store: CountingStore;
  readonly tree: Tree;
  readonly commands: ReturnType<typeof controlCommands>;
  readonly stateDirectory: string;
  readonly cacheDirectory: string;
  /** Whether guests wait for this daemon. */
  readonly takesOver: boolean;
  readonly log: Log;
  readonly keep: <T extends { close(): Promise<void> }>(name: string, part: T) => T;
}

export class Views {
  /** Told of what leaves no number behind. */
  readonly observer: TreeObserver = {
    read: (durationMs) => {
      this.metrics?.events.read(durationMs);
      this.readTimes.add(durationMs);
    },
    command: (outcome) => this.metrics?.events.command(outcome),
  };
  private readonly readTimes = new ReadTimes();

  private constructor(private readonly metrics: Metrics | undefined) {}

  static async of({ metrics }: MountSettings): Promise<Views> {
    return new Views(metrics === null ? undefined : new (await import('../metrics/metrics.js')).Metrics());
  }

  /** Told of every request to the store; undefined: nobody wants to know. */
  get onStoreCall(): Metrics['events']['storeCall'] | undefined {
    const { metrics } = this;
    return metrics && ((call) => metrics.events.storeCall(call));
  }

  /** Opens the ports. Resolves to the dashboard's address with its token; null: there is none. Rejects as HttpListener.listen does. */
  async serve(parts: ViewedParts): Promise<string | null> {
    const { settings } = parts;
    if (this.metrics !== undefined && settings.metrics !== null) {
      const { takesOver, log } = parts;
      const served = {
        address: settings.metrics,
        metrics: this.metrics,
        sources: metricSources(parts),
        takesOver,
        log,
      };
      parts.keep('metrics', await serveMetrics(served));
    }
    if (settings.dashboard === null) return null;
    const { serveDashboard } = await import('../dashboard/serve.js');
    const { tree, keep, catalogue, mirror, driver, commands, stateDirectory, takesOver, log } = parts;
    const shown = { identity: settings, catalogue, mirror, driver, commands, readTimes: this.readTimes };
    const activity = () => tree.commands.history();
    const served = { address: settings.dashboard, stateDirectory, takesOver, log };
    return keep('dashboard', await serveDashboard({ ...shown, activity, ...served })).url;
  }
}

function metricSources(parts: ViewedParts): MetricSources {
  const { settings, catalogue, mirror, driver, store, tree, stateDirectory, cacheDirectory } = parts;
  return {
    version: programVersion(),
    repository: settings.repository,
    mountpoint: settings.mountpoint,
    driver: driver.name,
    startedMs: Date.now(),
    catalogue,
    mirror: () => mirror.statistics(),
    driverStatistics: () => driver.statistics(),
    longestReadMs: () => tree.longestReadMs(),
    store: () => store.statistics(),
    runningCommands: () => tree.commands.runningCount(),
    stateDirectory,
    cacheDirectory,
  };
}
