/**
 * What a mount tells Prometheus, at `--metrics ADDR:PORT` under /metrics.
 *
 * Made before the layers of the mount, so that the first request is counted, and served once they are there. The library keeps
 * numbers and writes the text; it is loaded with this module, by a mount that was asked for metrics and by no other.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Counter, Gauge, Registry } from 'prom-client';
import { EventMetrics } from './event-metrics.js';
import { gatherFacts, type MetricSources } from './facts.js';
import { READ_METRICS, type ReadMetric } from './read-metrics.js';

interface Reading {
  readonly metric: ReadMetric;
  readonly shown: Gauge | Counter;
}

export class Metrics {
  private readonly registry = new Registry();
  private readonly readings: readonly Reading[];
  /** To be told of what happens. */
  readonly events: EventMetrics;
  private scrape: Promise<string> | undefined;

  constructor() {
    this.readings = READ_METRICS.map((metric) => {
      const { name, help, labels } = metric;
      const settings = { name, help, labelNames: [...labels], registers: [this.registry] };
      return { metric, shown: metric.kind === 'gauge' ? new Gauge(settings) : new Counter(settings) };
    });
    this.events = new EventMetrics(this.registry);
  }

  /** The text of a scrape. Those that come at the same time share one. */
  text(sources: MetricSources): Promise<string> {
    this.scrape ??= this.read(sources).finally(() => {
      this.scrape = undefined;
    });
    return this.scrape;
  }

  /** Answers requests over HTTP (mount/service/listening.ts). */
  handler(sources: MetricSources): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
    return async ({ method, url }, response) => {
      if (method !== 'GET' && method !== 'HEAD') return answer(response, 405, 'text/plain', 'Only GET and HEAD.\n');
      if (url?.split('?')[0] !== '/metrics') return answer(response, 404, 'text/plain', 'Metrics are at /metrics.\n');
      answer(response, 200, this.registry.contentType, await this.text(sources));
    };
  }

  private async read(sources: MetricSources): Promise<string> {
    const facts = await gatherFacts(sources);
    for (const { metric, shown } of this.readings) {
      shown.reset();
      // Both count from 0 now, so that to add is to set.
      for (const { labels, value } of metric.samples(facts)) shown.inc(labels ?? {}, value);
    }
    return this.registry.metrics();
  }
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
