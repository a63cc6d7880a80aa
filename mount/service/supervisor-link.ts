/**
 * A daemon's end of the pipe to its supervisor (supervision.ts). Without a supervisor it hears nothing and says nothing.
 */
import { LazydiskError } from '../../lib/util/errors.js';
import { mountSettingsSchema } from './settings.js';
import type { ConnectedFacts, DaemonReport, ServeOrder, SupervisorWord } from './supervision.js';

/** A signal to a whole group reaches the daemon twice, once through its supervisor: within this time they are one. */
const SAME_SIGNAL_MS = 1000;

export class SupervisorLink {
  private endOrdered = false;
  private onEnd: (() => void) | undefined;
  /** Who waits for a successor to be loaded; told why it was not. */
  private onSuccessor: ((failure: string | null) => void) | undefined;
  private onDevice: ((isHeld: boolean) => void) | undefined;

  constructor(private readonly pipe: NodeJS.Process = process) {}

  /** Whether there is a supervisor that can start another daemon. */
  get isUp(): boolean {
    return this.pipe.connected;
  }

  /** Says that this process has loaded itself, and waits for the order to serve. USAGE: there is no supervisor, or its settings are wrong. ABORTED: it went away. */
  serveOrder(): Promise<ServeOrder> {
    return new Promise((resolve, reject) => {
      if (!this.isUp) {
        reject(new LazydiskError('USAGE', 'The daemon is started by `lazydisk mount`, not by hand.'));
        return;
      }
      this.pipe.once('disconnect', () => {
        reject(new LazydiskError('ABORTED', 'The supervisor went away.'));
      });
      this.pipe.on('message', (message: ServeOrder | SupervisorWord) => {
        if (message.kind === 'end') {
          this.endOrdered = true;
          this.onEnd?.();
          return;
        }
        if (message.kind === 'successor') {
          this.onSuccessor?.(message.failure);
          return;
        }
        if (message.kind === 'device') {
          this.onDevice?.(message.isHeld);
          return;
        }
        const parsed = mountSettingsSchema.safeParse(message.settings);
        if (parsed.success) resolve({ ...message, settings: parsed.data });
        else reject(new LazydiskError('USAGE', `The settings of the mount are wrong: ${parsed.error.message}`));
      });
      void this.tell({ kind: 'waiting' });
    });
  }

  /** Has `program` loaded, to take over from this process: it waits when this resolves. IO: it could not be; all is as before. */
  async prepareSuccessor(program: string): Promise<void> {
    const failure = await new Promise<string | null>((resolve) => {
      this.onSuccessor = resolve;
      this.pipe.once('disconnect', () => {
        resolve('the supervisor went away');
      });
      void this.tell({ kind: 'restart', program });
    });
    if (failure === null) return;
    throw new LazydiskError('IO', `The new daemon could not be started (${failure}): the one that serves goes on.`, {
      facts: { program, how: failure },
    });
  }

  /** Has the supervisor take a copy of the device; false: it could not, or is gone. */
  shareDevice(facts: ConnectedFacts & { readonly descriptor: number }): Promise<boolean> {
    return new Promise((resolve) => {
      this.onDevice = resolve;
      this.pipe.once('disconnect', () => {
        resolve(false);
      });
      void this.tell({ kind: 'connected', ...facts });
    });
  }

  /** Resolves when the report has left, or when nobody is there to hear it. */
  tell(report: DaemonReport): Promise<void> {
    return new Promise((resolve) => {
      if (!this.isUp || this.pipe.send === undefined) resolve();
      else {
        this.pipe.send(report, undefined, {}, () => {
          resolve();
        });
      }
    });
  }

  /** From now on the link keeps no process alive; `gone` is called should the supervisor go away. */
  relax(gone: () => void): void {
    this.pipe.channel?.unref();
    this.pipe.once('disconnect', gone);
  }

  /** An order to end, given or to be given, is a SIGTERM to this process. */
  obeyEndOrders(): void {
    let signalledMs = -Infinity;
    const seen = (): void => {
      signalledMs = performance.now();
    };
    this.pipe.on('SIGTERM', seen);
    this.pipe.on('SIGINT', seen);
    this.onEnd = () => {
      if (performance.now() - signalledMs > SAME_SIGNAL_MS) this.pipe.emit('SIGTERM', 'SIGTERM');
    };
    if (this.endOrdered) this.onEnd();
  }
}
