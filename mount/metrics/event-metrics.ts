/**
 * The metrics of what happens: requests to the store, reads that had to wait, commands. Each is told as it ends; none of it is on
 * the way of a read or write that workers serve.
 */
import { Counter, Histogram, type Registry } from 'prom-client';
import type { CommitOutcome } from '../../lib/image/api.js';
import type { ErrorCode } from '../../lib/util/errors.js';
import type { StoreCall } from '../service/counting-store.js';
import type { ControlCommand } from '../tree/control/grammar.js';
import type { CommandOutcome } from '../tree/outcomes.js';
import type { TreeObserver } from '../tree/tree.js';

/** From a local server to one that has given up: a quarter of a decade each. */
const STORE_SECONDS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];
/** From a chunk that is there after all to the end of --timeout. */
const WAIT_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300];
const COMMIT_SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200];
const PAUSE_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5];

/** Values of the label `verb`: a line that was no command may begin with anything. */
const VERBS: Readonly<Record<ControlCommand['verb'], true>> = {
  commit: true,
  clone: true,
  hydrate: true,
  revert: true,
  unlock: true,
  profile: true,
  help: true,
};

/**
 * How a commit, and a request to the store, can end. These series are there from the start, as 0: what appears with its first
 * event is no increase to Prometheus, and the first failure is the one to be told of.
 */
const COMMIT_RESULTS: readonly (ErrorCode | 'ok')[] = [
  'ok',
  'CONFLICT',
  'LOCKED',
  'UNREACHABLE',
  'REFUSED',
  'DAMAGED',
  'NO_SPACE',
  'IO',
  'ABORTED',
];
const STORE_OPERATIONS: readonly StoreCall['operation'][] = ['get', 'put', 'list', 'delete'];
const STORE_FAILURES: readonly ErrorCode[] = ['UNREACHABLE', 'REFUSED', 'DAMAGED', 'NO_SPACE', 'UNSUPPORTED', 'IO'];

export class EventMetrics implements TreeObserver {
  private readonly requests;
  private readonly errors;
  private readonly requestSeconds;
  private readonly receivedBytes;
  private readonly sentBytes;
  private readonly readSeconds;
  private readonly commands;
  private readonly commitSeconds;
  private readonly pauseSeconds;
  private readonly committedBytes;

  constructor(registry: Registry) {
    const registers = [registry];
    this.requests = new Counter({
      name: 'lazydisk_store_requests_total',
      help: 'Requests to the store, tries included',
      labelNames: ['operation'],
      registers,
    });
    this.errors = new Counter({
      name: 'lazydisk_store_errors_total',
      help: 'Requests that failed, those that were tried again included; what a code means: docs/OPERATIONS.md',
      labelNames: ['operation', 'code'],
      registers,
    });
    this.requestSeconds = new Histogram({
      name: 'lazydisk_store_request_seconds',
      help: 'How long a request took that was answered, to the last byte',
      labelNames: ['operation'],
      buckets: STORE_SECONDS,
      registers,
    });
    this.receivedBytes = new Counter({
      name: 'lazydisk_store_received_bytes_total',
      help: 'Bytes of objects that came from the store',
      registers,
    });
    this.sentBytes = new Counter({
      name: 'lazydisk_store_sent_bytes_total',
      help: 'Bytes of objects that were put to the store',
      registers,
    });
    this.readSeconds = new Histogram({
      name: 'lazydisk_read_wait_seconds',
      help: 'How long a read waited that could not be answered from this host at once',
      buckets: WAIT_SECONDS,
      registers,
    });
    this.commands = new Counter({
      name: 'lazydisk_commands_total',
      help: 'Commands that ended, by verb and by the code of their error (ok: none)',
      labelNames: ['verb', 'result'],
      registers,
    });
    this.commitSeconds = new Histogram({
      name: 'lazydisk_commit_seconds',
      help: 'How long a commit took that made a snapshot',
      buckets: COMMIT_SECONDS,
      registers,
    });
    this.pauseSeconds = new Histogram({
      name: 'lazydisk_commit_pause_seconds',
      help: 'How long the cut of such a commit held writers up',
      buckets: PAUSE_SECONDS,
      registers,
    });
    this.committedBytes = new Counter({
      name: 'lazydisk_commit_uploaded_bytes_total',
      help: 'Bytes that those commits uploaded',
      registers,
    });
    for (const result of COMMIT_RESULTS) this.commands.inc({ verb: 'commit', result }, 0);
    for (const operation of STORE_OPERATIONS) {
      this.requests.inc({ operation }, 0);
      for (const code of STORE_FAILURES) this.errors.inc({ operation, code }, 0);
    }
  }

  storeCall({ operation, failure, durationMs, receivedBytes, sentBytes }: StoreCall): void {
    this.requests.inc({ operation });
    if (failure === null) this.requestSeconds.observe({ operation }, durationMs / 1000);
    else if (failure !== 'ABORTED') this.errors.inc({ operation, code: failure });
    this.receivedBytes.inc(receivedBytes);
    this.sentBytes.inc(sentBytes);
  }

  read(durationMs: number): void {
    this.readSeconds.observe(durationMs / 1000);
  }

  command({ command, error, result }: CommandOutcome): void {
    const [first = ''] = command.split(' ', 1);
    const verb = Object.hasOwn(VERBS, first) ? first : 'unknown';
    this.commands.inc({ verb, result: error?.code ?? 'ok' });
    if (verb !== 'commit' || error !== undefined) return;
    const { changed, durationMs, pauseMs, uploadedBytes } = result as CommitOutcome;
    if (!changed) return;
    this.commitSeconds.observe(durationMs / 1000);
    this.pauseSeconds.observe(pauseMs / 1000);
    this.committedBytes.inc(uploadedBytes);
  }
}
