/**
 * The place of a daemon among those that serve one mount, one after the other: what its driver needs to serve on and to be
 * followed (Succession), and what its commands need of the supervisor. Made before the state directory is known; `opened`
 * tells of it before anything is mounted.
 */
import type { Connection } from '../fuse/device.js';
import type { Succession } from '../fuse/kernel-driver.js';
import type { RecordDatabase } from '../fuse/request-records.js';
import type { SupervisorHandle } from './daemon.js';
import type { Supervised } from './daemon-process.js';

export class DaemonSuccession implements Succession, SupervisorHandle {
  readonly pid: number;
  readonly connection: Connection | null;
  readonly resent: Succession['resent'];
  private state: { readonly database: RecordDatabase; readonly log: string } | undefined;
  private agreed: Connection | null;

  private constructor(
    readonly descriptor: number,
    private readonly supervised: Supervised,
  ) {
    this.pid = supervised.supervisorPid;
    this.connection = supervised.connection;
    this.resent = supervised.resent;
    this.agreed = supervised.connection;
  }

  /** undefined: nobody has started this daemon, or not with a device that both hold. */
  static of(supervised: Supervised | undefined): DaemonSuccession | undefined {
    return supervised?.device === undefined ? undefined : new DaemonSuccession(supervised.device, supervised);
  }

  /** The state's database, and the path of the log. */
  opened(database: RecordDatabase, log: string): void {
    this.state = { database, log };
  }

  get database(): RecordDatabase {
    return this.opening().database;
  }

  /** Whether another daemon can follow: the kernel sends requests again. */
  get isSecured(): boolean {
    return this.agreed?.negotiated.canResend === true;
  }

  connected(connection: Connection): void {
    this.agreed = connection;
    this.supervised.report({ kind: 'connected', connection, log: this.opening().log });
  }

  succumb(): void {
    this.supervised.makeWay();
  }

  canReplace(): boolean {
    return this.isSecured && this.supervised.isUp();
  }

  prepare(program: string): Promise<void> {
    return this.supervised.prepareSuccessor(program);
  }

  handOver(): void {
    this.supervised.report({ kind: 'make-way' });
  }

  stay(): void {
    this.supervised.report({ kind: 'stay' });
  }

  private opening() {
    if (this.state === undefined) throw new Error('nothing is mounted before the state directory is open');
    return this.state;
  }
}
