/**
 * What the three processes of a mount tell each other, over Node's pipe between parent and child: the command that mounts
 * starts a supervisor, the supervisor starts daemons, one after the other. Values only.
 *
 * Settings and connections pass through the supervisor unread, so that a supervisor of an older version can start daemons
 * of a newer one.
 */
import type { Connection } from '../fuse/device.js';
import type { WireError } from './control-protocol.js';
import type { MountSettings } from './settings.js';
import type { Resent } from './succession.js';

/** The descriptor of /dev/fuse in every daemon that a supervisor has started, but for the first one of a user who is not root. */
export const DEVICE_DESCRIPTOR = 4;

/** From the supervisor to a daemon, once, at its start. */
export interface ServeOrder {
  readonly kind: 'serve';
  readonly settings: MountSettings;
  /** The supervisor has the device: it is open under DEVICE_DESCRIPTOR. */
  readonly hasDevice: boolean;
  readonly supervisorPid: number;
  /** What the first daemon agreed with the kernel; null: there is no mount yet. */
  readonly connection: Connection | null;
  readonly resent: Resent;
  /** How the daemon before this one ended, for the log; null for the first. */
  readonly predecessor: string | null;
}

/** From the supervisor to a daemon that serves. */
export type SupervisorWord =
  /** As a SIGTERM to the daemon itself. */
  | { readonly kind: 'end' }
  /** What became of the successor that was asked for: it waits to serve (null), or why it does not. */
  | { readonly kind: 'successor'; readonly failure: string | null }
  /** Whether it has a copy of the device that the daemon brought. */
  | { readonly kind: 'device'; readonly isHeld: boolean };

/** What the daemons after this one need to know. */
export interface ConnectedFacts {
  readonly connection: Connection;
  readonly log: string;
}

/** From a daemon to its supervisor. */
export type DaemonReport =
  /** Loaded, and ready for its order. */
  | { readonly kind: 'waiting' }
  /** The kernel is served from now on; whoever has this can go on serving it. */
  | (ConnectedFacts & {
      readonly kind: 'connected';
      /** Where the daemon has the device, when the supervisor is to take a copy; null: it has it. */
      readonly descriptor: number | null;
    })
  | { readonly kind: 'ready'; readonly outcome: DaemonOutcome }
  | { readonly kind: 'failed'; readonly error: WireError }
  /** Start `program`, to take my place; I serve on meanwhile, and am told what became of it. */
  | { readonly kind: 'restart'; readonly program: string }
  /** The successor waits: end me by SIGKILL, and let it serve. */
  | { readonly kind: 'make-way' }
  /** The successor is not wanted after all. */
  | { readonly kind: 'stay' }
  /** The mount is gone and everything is flushed: nobody has to follow. */
  | { readonly kind: 'ended' };

/** From the supervisor to the command, until one of them has been said. */
export type LaunchReport =
  | { readonly kind: 'ready'; readonly outcome: DaemonOutcome }
  | { readonly kind: 'failed'; readonly error: WireError }
  /** The daemon died before it was ready: by a signal, or with an exit status. */
  | { readonly kind: 'died'; readonly how: string };

export interface DaemonOutcome {
  readonly daemonPid: number;
  readonly stateDirectory: string;
  /** True when the store did not answer: what is local works. */
  readonly degraded: boolean;
  /** Whether another daemon can take over when this one dies. */
  readonly survivable: boolean;
  /** Address of the dashboard, with its token; null: there is none. */
  readonly dashboard: string | null;
}
