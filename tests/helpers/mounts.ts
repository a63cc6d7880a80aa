/**
 * Mounts for tests, through the real program: own state directory, own mountpoint, always gone after the clean-up.
 *
 * The clean-up unmounts in the orderly way first. If that fails it ends the daemon by its pid, detaches, and reports the
 * failure: a mount that can't be unmounted is a defect.
 */
import { mkdir, open, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageStatusDocument, MountStatus } from '../../mount/tree/status-schema.js';
import { undoLater } from './cleanup.js';
import { testDriver } from './driver.js';
import { childrenOf, isAlive, run } from './processes.js';
import { lazydisk, lazydiskJson, mustLazydisk } from './program.js';
import type { TestRepository } from './repositories.js';
import { mountpointsUnder, temporaryFolder } from './temporary.js';
import { waitFor } from './waiting.js';

export interface MountRequest {
  readonly repository: TestRepository;
  /** More environment for the program. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** More options for `lazydisk mount`. */
  readonly options?: readonly string[];
  /** An existing state directory; a new one by default. */
  readonly stateDirectory?: string;
}

export interface MountedTest {
  readonly repository: TestRepository;
  readonly mountpoint: string;
  readonly stateDirectory: string;
  /** Of the first daemon; `status` tells that of a later one. */
  readonly daemonPid: number;
  readonly supervisorPid: number;
  /** Path of a file of an image; `disk.raw` by default. */
  path(image: string, file?: string): string;
  status(): Promise<MountStatus>;
  imageStatus(image: string): Promise<ImageStatusDocument>;
  /** `status` as a guest's monitor would read it: the file, without starting a program. */
  imageStatusFile(image: string): Promise<ImageStatusDocument>;
  /** In the orderly way; waits until the daemon is gone. */
  unmount(): Promise<void>;
  /** kill -9 of the supervisor and the daemon; the dead mount stays. */
  killAll(): Promise<void>;
  /** kill -9 of the daemon alone, whichever serves now. Resolves to its pid. */
  killDaemon(): Promise<number>;
}

export async function mountRepository(request: MountRequest): Promise<MountedTest> {
  const folder = temporaryFolder('mount');
  const stateDirectory = request.stateDirectory ?? join(folder, 'state');
  const mountpoint = join(await realpath(folder), 'mnt');
  await mkdir(mountpoint);
  return mountAt(mountpoint, stateDirectory, request);
}

/** Mounts again where `previous` was, with its state directory. */
export async function mountAgain(
  previous: MountedTest,
  changes: Pick<MountRequest, 'env' | 'options'> = {},
): Promise<MountedTest> {
  return mountAt(previous.mountpoint, previous.stateDirectory, { repository: previous.repository, ...changes });
}

/** Nothing travels that no read has asked for, unless a test wants it: so that requests can be counted. */
const QUIET = { '--fill': 'off', '--profile': 'off' };

/** The defaults as options, but for those that are given. */
function without(defaults: Readonly<Record<string, string>>, given: readonly string[]): string[] {
  return Object.entries(defaults)
    .filter(([name]) => !given.includes(name))
    .flat();
}

async function mountAt(mountpoint: string, stateDirectory: string, request: MountRequest): Promise<MountedTest> {
  const env = { ...request.repository.env, ...request.env };
  // Registered first: a daemon may be there although `mount` said that it failed.
  undoLater(() => forceUnmount(mountpoint));
  const { daemonPid, supervisorPid } = (await lazydiskJson(
    [
      ...['mount', request.repository.url, mountpoint, '--state', stateDirectory, '--driver', testDriver],
      ...without(QUIET, request.options ?? []),
      ...(request.options ?? []),
    ],
    { env },
  )) as { daemonPid: number; supervisorPid: number };
  const status = (): Promise<MountStatus> => lazydiskJson(['status', mountpoint], { env }) as Promise<MountStatus>;
  const path = (image: string, file = 'disk.raw'): string => join(mountpoint, image, file);

  const unmount = async (): Promise<void> => {
    await mustLazydisk(['unmount', mountpoint], { env });
    await waitFor(`supervisor ${String(supervisorPid)} has ended`, () => !isAlive(supervisorPid));
    await waitFor(`daemon ${String(daemonPid)} has ended`, () => !isAlive(daemonPid));
  };
  const killAll = async (): Promise<void> => {
    // The supervisor first: it would start another daemon.
    const daemons = [daemonPid, ...(await childrenOf(supervisorPid))];
    for (const pid of [supervisorPid, ...daemons]) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    await waitFor('supervisor and daemon have ended', () => ![supervisorPid, ...daemons].some(isAlive));
  };
  undoLater(async () => {
    if ((await mountpointsUnder(mountpoint)).length === 0) return;
    if (isAlive(supervisorPid) || isAlive(daemonPid)) await unmountOrKill(mountpoint, killAll, env);
  });
  return {
    repository: request.repository,
    mountpoint,
    stateDirectory,
    daemonPid,
    supervisorPid,
    path,
    status,
    imageStatus: (image) => lazydiskJson(['status', mountpoint, image], { env }) as Promise<ImageStatusDocument>,
    imageStatusFile: async (image) => JSON.parse(await readFile(path(image, 'status'), 'utf8')) as ImageStatusDocument,
    unmount,
    killAll,
    killDaemon: async () => {
      const [pid = daemonPid] = await childrenOf(supervisorPid);
      process.kill(pid, 'SIGKILL');
      await waitFor(`daemon ${String(pid)} has ended`, () => !isAlive(pid));
      return pid;
    },
  };
}

/** Gives one command to a control file; resolves to the outcome that the same descriptor reads back. */
export async function control(controlFile: string, line: string): Promise<unknown> {
  const file = await open(controlFile, 'r+');
  try {
    await file.write(`${line}\n`);
    const outcome = Buffer.alloc(65_536);
    const { bytesRead } = await file.read(outcome, 0, outcome.length, 0);
    return JSON.parse(outcome.toString('utf8', 0, bytesRead)) as unknown;
  } finally {
    await file.close();
  }
}

async function unmountOrKill(
  mountpoint: string,
  killAll: () => Promise<void>,
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const ended = await lazydisk(['unmount', mountpoint], { env, timeoutMs: 60_000 });
  if (ended.status === 0) return;
  await killAll();
  throw new Error(`could not unmount ${mountpoint}: ${ended.stdout}${ended.stderr}`);
}

/** Whatever is still mounted there after the orderly way: a mount whose daemon is dead. */
async function forceUnmount(mountpoint: string): Promise<void> {
  for (const path of await mountpointsUnder(mountpoint)) await run('umount', ['-l', path]);
}
