/**
 * The place of a daemon among those that serve one mount, one after the other: what its driver needs to serve on and to be
 * followed (Succession), and what its commands need of the supervisor. Made before the state directory is known; `opened`
 * tells of it before anything is mounted.
 */
import type { Connection } from '../fuse/device.js';
import type { Succession } from '../fuse/kernel-driver.js';
import { mountsByItself } from '../fuse/fusermount.js';
import type { RecordDatabase } from '../fuse/request-records.js';
import type { SupervisorHandle } from './daemon.js';
import type { Supervised } from './daemon-process.js';

export class DaemonSuccession implements Succession, SupervisorHandle {
  readonly pid: number;
  readonly connection: Connection | null;
  readonly resent: Succession['resent'];
  private state: { readonly database: RecordDatabase; readonly log: string } | undefined;
  /** Of the connection that others hold too. */
  private agreed: Connection | null;

  private constructor(
    readonly descriptor: number | undefined,
    private readonly supervised: Supervised,
  ) {
    this.pid = supervised.supervisorPid;
    this.connection = supervised.connection;
    this.resent = supervised.resent;
    this.agreed = supervised.connection;
  }

  /** undefined: nobody has started this daemon, or not with the device that it needs. */
  static of(supervised: Supervised | undefined): DaemonSuccession | undefined {
    if (supervised === undefined || (supervised.device === undefined && mountsByItself())) return undefined;
    return new DaemonSuccession(supervised.device, supervised);
  }

  /** The state's database, and the path of the log. */
  opened(database: RecordDatabase, log: string): void {
    this.state = { database, log };
  }

  get database(): RecordDatabase {
    return this.opening().database;
  }

  /** Whether another daemon can follow: the kernel sends requests again, and the supervisor has the device. */
  get isSecured(): boolean {
    return this.agreed?.negotiated.canResend === true;
  }

  async connected(connection: Connection, descriptor: number): Promise<void> {
    const { log } = this.opening();
    if (this.descriptor === undefined) {
      if (!(await this.supervised.shareDevice({ connection, log, descriptor }))) return;
    } else {
      this.supervised.report({ kind: 'connected', connection, log, descriptor: null });
    }
    this.agreed = connection;
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
