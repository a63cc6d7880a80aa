/** Serves the metrics of a mount for as long as it lives. */
import type { Log } from '../../lib/util/log.js';
import type { ListenAddress } from '../service/listen-address.js';
import { HttpListener } from '../service/listening.js';
import type { MetricSources } from './facts.js';
import type { Metrics } from './metrics.js';

export interface ServedMetrics {
  readonly address: ListenAddress;
  readonly metrics: Metrics;
  readonly sources: MetricSources;
  /** Whether guests wait for this daemon: then nothing that has to do with metrics may keep it from serving them. */
  readonly takesOver: boolean;
  readonly log: Log;
}

/** BUSY, USAGE, REFUSED: the address can't be had; a daemon that takes over logs that, and goes on without metrics. */
export async function serveMetrics(served: ServedMetrics): Promise<{ close(): Promise<void> }> {
  const { address, metrics, sources, takesOver, log } = served;
  try {
    const handler = metrics.handler(sources);
    const listener = await HttpListener.listen({ address, option: '--metrics', handler, log });
    log.info('Metrics are served.', { url: `${listener.url}/metrics` });
    return listener;
  } catch (error) {
    if (!takesOver) throw error;
    log.error('Metrics are not served by this daemon.', { error });
    return { close: () => Promise.resolve() };
  }
}
