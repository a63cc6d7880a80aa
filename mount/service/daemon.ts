/**
 * The life of a daemon: mount, serve, and one orderly end.
 *
 * `openMount` brings everything up in order and takes it down again when a step fails; `serve` waits for the end.
 *
 * Ways to the end: the verb `unmount` and SIGTERM and SIGINT ask the kernel to unmount; umount(8) and a lost connection make
 * the driver end by itself. All lead to `finish`: no more commands, then the layers of the mount are closed from the top
 * down (each flushes what it holds), then the registry forgets us. A busy mount is never detached: the log says who holds
 * it, serving goes on, and it is unmounted when they have let go; another SIGTERM aborts the connection. SIGHUP is ignored: a daemon has no terminal.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LazydiskError } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import type { Driver, EndReason, MountOptions } from '../fuse/driver.js';
import type { FileSystem } from '../fuse/file-system.js';
import type { RunningCommand } from '../tree/outcomes.js';
import { SOCKET_NAME, type ControlCommands } from './control-protocol.js';
import { ControlServer } from './control-server.js';
import { processNamed, thisProcess } from './processes.js';
import type { Registry } from './registry.js';

/** How long commands that run when the mount ends may take to come to their own end. */
const COMMAND_GRACE_MS = 30_000;

/** A daemon that is to be killed gives its answer first. One whose answer is lost is replaced all the same. */
const ANSWER_FIRST_MS = 50;

/** Between two tries to unmount what is in use. */
const ASK_AGAIN_MS = 500;
const REFUSAL =
  'Asked to end, but the mount is in use: it ends when nobody uses it any more. Another signal aborts it.';

/** Something that is closed at the end; the name is for the log. */
export interface Closer {
  readonly name: string;
  close(): Promise<void>;
}

/** The layers of one mount, open but not mounted yet. */
export interface MountStack {
  readonly driver: Driver;
  readonly fileSystem: FileSystem;
  /** What the control files can do; the daemon adds the rest. */
  readonly commands: Omit<ControlCommands, 'unmount' | 'restart'>;
  /** Commands that have begun and not ended, also those that nobody waits for. */
  readonly running: () => readonly RunningCommand[];
  /** In the order of closing: what flushes first comes first. */
  readonly closers: readonly Closer[];
}

export interface DaemonParts {
  readonly stack: MountStack;
  readonly mount: MountOptions;
  readonly stateDirectory: string;
  readonly repository: { readonly url: string; readonly endpoint: string | null };
  /** null: there is nobody to start another daemon. */
  readonly supervisor: SupervisorHandle | null;
  readonly registry: Registry;
  readonly log: Log;
  /** Where SIGTERM and SIGINT come from; the process by default. */
  readonly signals?: SignalSource;
}

/** The supervisor, as its daemon needs it. */
export interface SupervisorHandle {
  readonly pid: number;
  /** Whether another daemon can take over. Known once the mount is there. */
  canReplace(): boolean;
  /** Has a process loaded that runs `program` and could serve at once. IO: it could not be; all is as before. */
  prepare(program: string): Promise<void>;
  /** Has this process killed, and lets the one that was prepared serve. */
  handOver(): void;
  /** What was prepared is not wanted. */
  stay(): void;
}

export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

/** A mount that answers, with its control socket and its entry in the registry. */
export interface LiveMount {
  readonly parts: DaemonParts;
  readonly control: ControlServer;
}

/** How the end went. `clean`: every layer was flushed and closed without an error. */
export interface DaemonEnd {
  readonly reason: EndReason;
  readonly clean: boolean;
}

/** Mounts. When it rejects, nothing is left mounted, registered or open. */
export async function openMount(parts: DaemonParts): Promise<LiveMount> {
  const { stack, log, stateDirectory, mount, registry } = parts;
  let control: ControlServer | undefined;
  let mounted = false;
  try {
    control = await ControlServer.listen(join(stateDirectory, SOCKET_NAME), commandsOf(parts), log);
    await stack.driver.start(stack.fileSystem, mount);
    mounted = true;
    await registry.add({
      mountpoint: mount.mountpoint,
      ...thisProcess(),
      program: process.argv[1] ?? null,
      supervisor: parts.supervisor === null ? null : processNamed(parts.supervisor.pid),
      stateDirectory,
      socket: control.path,
      repository: parts.repository.url,
      endpoint: parts.repository.endpoint,
    });
    log.info('Mounted.', { mountpoint: mount.mountpoint, source: mount.source, driver: stack.driver.name });
    return { parts, control };
  } catch (error) {
    if (mounted) await stack.driver.unmount().catch(() => stack.driver.abort());
    await control?.close(0);
    await closeAll(stack.closers, log);
    await registry.remove(mount.mountpoint, process.pid);
    throw error;
  }
}

/** Serves until the mount ends, then closes everything. */
export async function serve(live: LiveMount): Promise<DaemonEnd> {
  const { parts, control } = live;
  const { log, stack, registry, mount } = parts;
  const signals = parts.signals ?? process;
  const onSignal = terminator(parts);
  const ignore = (): void => undefined;
  signals.on('SIGTERM', onSignal);
  signals.on('SIGINT', onSignal);
  signals.on('SIGHUP', ignore);

  const reason = await stack.driver.ended;
  if (reason.kind === 'failed') log.error('Serving ended with a failure.', { error: reason.error });
  else log.info('Unmounted.', { mountpoint: mount.mountpoint });

  let clean = reason.kind === 'unmounted';
  // Commands that run reach into the layers: they come to their end first.
  await control.close(COMMAND_GRACE_MS).catch((error: unknown) => {
    log.error('The control socket could not be closed.', { error });
  });
  if (!(await closeAll(stack.closers, log))) clean = false;
  await registry.remove(mount.mountpoint, process.pid);
  signals.off('SIGTERM', onSignal);
  signals.off('SIGINT', onSignal);
  signals.off('SIGHUP', ignore);
  log.info('Ended.', { clean });
  return { reason, clean };
}

/** Unmounts; BUSY names who holds the mount, or the command that runs. */
async function unmount(parts: DaemonParts, running: ReadonlySet<string>): Promise<void> {
  assertIdle(parts, running);
  await parts.stack.driver.unmount();
}

/**
 * Commands come to their end first: what one that is cut off has done is hard to tell. Resolves when the successor is loaded; it
 * takes over a moment later. IO: it can't be loaded, and this daemon serves on.
 */
async function restart(parts: DaemonParts, running: ReadonlySet<string>, program: string): Promise<void> {
  const { supervisor, log } = parts;
  if (supervisor?.canReplace() !== true) {
    throw new LazydiskError(
      'UNSUPPORTED',
      supervisor === null
        ? 'This mount has no supervisor that could start another daemon: it was mounted with --foreground.'
        : 'Another daemon can’t take over here: that needs Linux 6.9 or later, and the kernel driver.',
    );
  }
  assertIdle(parts, running);
  await supervisor.prepare(program);
  try {
    assertIdle(parts, running);
  } catch (error) {
    supervisor.stay();
    throw error;
  }
  log.info('Another daemon is to take over.', { program });
  setTimeout(() => {
    supervisor.handOver();
  }, ANSWER_FIRST_MS);
}

function assertIdle(parts: DaemonParts, running: ReadonlySet<string>): void {
  const [begun] = parts.stack.running().map(({ command, startedAt }) => `${command}, since ${startedAt}`);
  const work = begun ?? [...running][0];
  if (work !== undefined) {
    throw new LazydiskError('BUSY', `${parts.mount.mountpoint} is at work (${work}): wait until that is done.`);
  }
}

/** The commands of the mount, and unmount, which is refused while one of them runs. */
function commandsOf(parts: DaemonParts): ControlCommands {
  const { commands } = parts.stack;
  const running = new Set<string>();
  const during = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const name = `${what}, since ${new Date().toISOString()}`;
    running.add(name);
    try {
      return await work();
    } finally {
      running.delete(name);
    }
  };
  return {
    commit: (image, wish) => during(`commit of ${image}`, () => commands.commit(image, wish)),
    beginCommit: (image, wish) => during(`commit of ${image}`, () => commands.beginCommit(image, wish)),
    command: (id) => commands.command(id),
    clone: (image, newImage, options) => during(`clone of ${image}`, () => commands.clone(image, newImage, options)),
    revert: (image, number) => during(`revert of ${image}`, () => commands.revert(image, number)),
    tagged: (image, tag) => commands.tagged(image, tag),
    unlock: (image) => commands.unlock(image),
    keepFlat: (image, number) => during(`a flat copy of ${image}`, () => commands.keepFlat(image, number)),
    dropFlat: (image, number) => commands.dropFlat(image, number),
    // Ends with the mount: what has come by then is kept.
    hydrate: (image, number) => commands.hydrate(image, number),
    recordProfile: (image) => commands.recordProfile(image),
    status: () => commands.status(),
    glance: () => commands.glance(),
    imageStatus: (image) => commands.imageStatus(image),
    unmount: () => unmount(parts, running),
    restart: (program) => restart(parts, running, program),
  };
}

/**
 * The reaction to SIGTERM and SIGINT: the first asks, and asks again until nobody uses the mount; one that comes after a refusal
 * insists. A host that shuts down sends one, to who uses the mount at the same moment.
 */
function terminator(parts: DaemonParts): () => void {
  const { log, stack } = parts;
  let state: 'serving' | 'asking' | 'refused' | 'aborting' = 'serving';
  const isRefused = (): boolean => state === 'refused';
  const ask = async (): Promise<void> => {
    state = 'asking';
    do {
      try {
        await stack.driver.unmount();
        return;
      } catch (error) {
        if (state === 'asking') log.warn(REFUSAL, { error });
        state = 'refused';
      }
      await delay(ASK_AGAIN_MS, undefined, { ref: false });
    } while (isRefused());
  };
  const act = async (): Promise<void> => {
    if (state === 'serving') await ask();
    else if (state === 'refused') {
      state = 'aborting';
      log.warn('Asked to end again while the mount is in use: the connection is aborted.');
      await stack.driver.abort();
    }
  };
  return () => {
    act().catch((error: unknown) => {
      log.error('The signal to end could not be obeyed.', { error });
    });
  };
}

/** Closes all, each in turn, whatever the others do; false when one failed. */
export async function closeAll(closers: readonly Closer[], log: Log): Promise<boolean> {
  let clean = true;
  for (const closer of closers) {
    try {
      await closer.close();
    } catch (error) {
      clean = false;
      log.error('A part of the mount could not be closed in order.', { part: closer.name, error });
    }
  }
  return clean;
}
