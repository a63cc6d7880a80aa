/**
 * The metrics that are read at a scrape: a name, what it means, and how its values come from the facts. What happens between two
 * scrapes and leaves no number behind is counted in event-metrics.ts.
 *
 * Names follow Prometheus' rules: `lazydisk_` first, the unit in full (bytes, seconds), `_total` for what only grows. Counters are
 * those of this daemon: they begin at 0 when another one takes over, which `rate` and `increase` expect, and
 * `lazydisk_start_time_seconds` says when. Labels have few values, but for `image`, which is bounded (facts.ts).
 */
import type { Health } from '../../lib/image/api.js';
import type { HeldImage } from '../tree/held-images.js';
import type { MetricFacts } from './facts.js';

export interface Sample {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface ReadMetric {
  readonly name: `${'lazydisk' | 'process'}_${string}`;
  readonly kind: 'gauge' | 'counter';
  readonly help: string;
  readonly labels: readonly string[];
  /** Absent values have no sample. */
  readonly samples: (facts: MetricFacts) => readonly Sample[];
}

const HEALTHS: readonly Health[] = ['ok', 'degraded', 'offline'];

export const READ_METRICS: readonly ReadMetric[] = [
  {
    name: 'lazydisk_info',
    kind: 'gauge',
    help: 'Always 1; its labels say what is mounted, where, and by which version',
    labels: ['version', 'repository', 'mountpoint', 'driver'],
    samples: ({ version, repository, mountpoint, driver }) => [
      { value: 1, labels: { version, repository, mountpoint, driver } },
    ],
  },
  gauge(
    'lazydisk_start_time_seconds',
    'When this daemon began, seconds since 1970: all counters count from there',
    (f) => f.startedMs / 1000,
  ),
  {
    name: 'lazydisk_health',
    kind: 'gauge',
    help: '1 for the state that holds, 0 for the others: ok, degraded (a disk has failed), offline (the store does not answer)',
    labels: ['state'],
    samples: ({ health }) => HEALTHS.map((state) => ({ value: state === health ? 1 : 0, labels: { state } })),
  },

  {
    name: 'lazydisk_store_last_answer_timestamp_seconds',
    kind: 'gauge',
    help: 'When the store answered last, seconds since 1970; a mount that needs nothing asks nothing',
    labels: [],
    samples: ({ lastStoreAnswerMs }) => (lastStoreAnswerMs === null ? [] : [{ value: lastStoreAnswerMs / 1000 }]),
  },

  counter(
    'lazydisk_local_reads_total',
    'Reads that were answered from this host, without waiting',
    (f) => f.driverStatistics.localReads,
  ),
  counter('lazydisk_local_read_bytes_total', 'Bytes of those reads', (f) => f.driverStatistics.localReadBytes),
  counter(
    'lazydisk_local_writes_total',
    'Writes that were taken without waiting',
    (f) => f.driverStatistics.localWrites,
  ),
  counter('lazydisk_local_write_bytes_total', 'Bytes of those writes', (f) => f.driverStatistics.localWriteBytes),
  counter(
    'lazydisk_forwarded_requests_total',
    'Requests of the kernel that needed the main thread',
    (f) => f.driverStatistics.forwarded,
  ),
  gauge('lazydisk_waiting_reads', 'Reads that wait at this moment', (f) => f.driverStatistics.waitingReads),
  gauge(
    'lazydisk_longest_waiting_read_seconds',
    'For how long the read waits that has waited longest; 0: none waits',
    (f) => f.longestReadMs / 1000,
  ),
  gauge('lazydisk_workers', 'Threads that serve requests', (f) => f.driverStatistics.threads),

  {
    name: 'lazydisk_fetched_bytes_total',
    kind: 'counter',
    help: 'Stored bytes of chunks that came from the store, by who asked first: demand is a read that waits',
    labels: ['priority'],
    samples: ({ mirror }) =>
      Object.entries(mirror.fetchedBytesByPriority).map(([priority, value]) => ({ value, labels: { priority } })),
  },
  counter('lazydisk_fetched_chunks_total', 'Chunks that came from the store', (f) => f.mirror.fetchedChunks),
  counter('lazydisk_fetch_requests_total', 'Ranged GETs that chunks came by', (f) => f.mirror.fetchRequests),
  counter('lazydisk_hedges_total', 'Second GETs that raced a slow one', (f) => f.mirror.hedges),
  counter('lazydisk_hedges_won_total', 'Second GETs that were first', (f) => f.mirror.hedgesWon),
  counter(
    'lazydisk_damaged_chunks_total',
    'Chunks whose bytes were not what they should be',
    (f) => f.mirror.damagedChunks,
  ),
  counter('lazydisk_evicted_chunks_total', 'Chunks that left the cache to make room', (f) => f.mirror.evictedChunks),
  gauge('lazydisk_waiting_fetches', 'Chunks that are being waited for at this moment', (f) => f.mirror.waitingFetches),
  gauge('lazydisk_cache_bytes', 'Chunks that this host keeps', (f) => f.mirror.localBytes),
  gauge(
    'lazydisk_cache_limit_bytes',
    'What --cache-size says; +Inf: as much as leaves the disk its share',
    (f) => f.mirror.quotaBytes ?? Infinity,
  ),
  ...(['free', 'total'] as const).map((what): ReadMetric => ({
    name: what === 'free' ? 'lazydisk_filesystem_free_bytes' : 'lazydisk_filesystem_size_bytes',
    kind: 'gauge',
    help: `${what === 'free' ? 'Free' : 'All'} bytes of the file system of the state and of the cache folder`,
    labels: ['directory'],
    samples: ({ space }) =>
      space.map(({ directory, freeBytes, totalBytes }) => ({
        value: what === 'free' ? freeBytes : totalBytes,
        labels: { directory },
      })),
  })),

  gauge('lazydisk_running_commands', 'Commits, clones and other commands that run', (f) => f.runningCommands),
  gauge('lazydisk_held_images', 'Images whose disk is open or has local writes on this host', (f) => f.heldImages),
  image('size_bytes', 'Size of the disk', (one) => one.sizeBytes),
  image('local_bytes', 'What of its base is on this host', (one) => one.localBytes),
  image('missing_bytes', 'What of its base is not known to be on this host', (one) => one.missingBytes),
  image('dirty_bytes', 'What was written and is in no snapshot', (one) => one.dirtyBytes),
  image('layer_bytes', 'What those writes take on the local disk', (one) => one.layerAllocatedBytes),
  image('layers', 'Layers of local writes: more than 2 for long means that commits fail', (one) => one.layers),
  image('open', 'How often its disk is open', (one) => one.openCount),
  image('committing', '1 while a commit runs', (one) => (one.committing ? 1 : 0)),
  image('failed', '1 while the local disk has failed it: it answers EIO until it is opened anew', (one) =>
    one.failure === null ? 0 : 1,
  ),
  image('oldest_uncommitted_timestamp_seconds', 'When the oldest write that is in no snapshot was made', (one) =>
    one.oldestUncommittedMs === null ? undefined : one.oldestUncommittedMs / 1000,
  ),

  counter('process_cpu_seconds_total', 'Processor time of the daemon', (f) => f.cpuSeconds),
  gauge('process_resident_memory_bytes', 'Memory of the daemon', (f) => f.residentBytes),
  gauge('process_open_fds', 'Open file descriptors of the daemon', (f) => f.openFiles),
  counter(
    'lazydisk_main_thread_busy_seconds_total',
    'How long the main thread was at work',
    (f) => f.mainThreadBusySeconds,
  ),
];

function gauge(name: ReadMetric['name'], help: string, value: (facts: MetricFacts) => number): ReadMetric {
  return { name, kind: 'gauge', help, labels: [], samples: (facts) => [{ value: value(facts) }] };
}

function counter(name: ReadMetric['name'], help: string, value: (facts: MetricFacts) => number): ReadMetric {
  return { ...gauge(name, help, value), kind: 'counter' };
}

function image(name: string, help: string, value: (image: HeldImage) => number | undefined): ReadMetric {
  return {
    name: `lazydisk_image_${name}`,
    kind: 'gauge',
    help,
    labels: ['image'],
    samples: ({ images }) =>
      images.flatMap((one) => {
        const of = value(one);
        return of === undefined ? [] : [{ value: of, labels: { image: one.image } }];
      }),
  };
}
