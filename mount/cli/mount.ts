/** `lazydisk mount`: leaves a daemon that serves the repository's images as files. */
import { readdir, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FillMode, ProfileMode } from '../../lib/image/api.js';
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import { runUntilEnd } from '../service/daemon-process.js';
import { launch } from '../service/launch.js';
import { FILE_SYSTEM_TYPE } from '../fuse/mount-table.js';
import { mountedAt, resolveMountpoint } from '../service/mountpoint.js';
import { processErrorFile } from '../service/registry.js';
import type { MountSettings } from '../service/settings.js';
import type { DaemonOutcome } from '../service/supervision.js';
import { formatSize, parseRate, parseSize } from './sizes.js';
import { resolveAddress } from './store-stack.js';
import { defineVerb, MAX_UPLOAD, maxUploadBytesPerSecond, parseCount, parseSeconds, type VerbContext } from './verb.js';

/** Reads of guests wait so long for a store that is away. */
const DEFAULT_OUTAGE_MS = 300_000;
const FILL_MODES: readonly FillMode[] = ['off', 'idle', 'eager'];
const PROFILE_MODES: readonly ProfileMode[] = ['auto', 'replay', 'off'];
const DEFAULT_PROFILE: ProfileMode = 'auto';
/** An idle link costs nothing, and a guest that finds its disk local is the point (docs/decisions/0012). */
const DEFAULT_FILL: FillMode = 'idle';
/** A quota below this could not hold the chunks of the requests that run at once. */
const LEAST_CACHE_BYTES = 64 * 1024 * 1024;
/** Slower, a fill would not end within the life of a guest. */
const LEAST_FILL_RATE = 64 * 1024;
const SUPERVISOR_PROGRAM = fileURLToPath(new URL('./supervisor-main.js', import.meta.url));

export const mountVerb = defineVerb({
  command: 'mount <repository> <mountpoint>',
  summary: 'Show the images of a repository as raw files',
  examples: [
    ['mount s3://images/prod /mnt', 'credentials and server from the AWS_* environment or files'],
    ['mount file:///srv/images /mnt --cache-size 20G', 'keep at most 20 GiB of chunks'],
    ['mount s3://images/prod /mnt --read-only --allow-other', 'snapshots only, for every user'],
  ],
  options: (program) =>
    program
      .positional('repository', { type: 'string', demandOption: true, describe: 's3://bucket/prefix or file:///dir' })
      .positional('mountpoint', { type: 'string', demandOption: true, describe: 'an empty folder' })
      .option('state', {
        type: 'string',
        describe: 'folder for local writes (default /var/lib/lazydisk/<repository id>)',
      })
      .option('cache', { type: 'string', describe: 'folder for fetched chunks (default: within the state folder)' })
      .option('cache-size', {
        type: 'string',
        describe: 'most bytes of fetched chunks to keep (default: 10 % of the disk stays free)',
      })
      .option('driver', {
        choices: ['kernel', 'fuse-native'] as const,
        default: 'kernel' as const,
        describe: 'how to reach the kernel; fuse-native needs libfuse 2, and can neither discard nor seek holes',
      })
      .option('fill', {
        choices: FILL_MODES,
        default: DEFAULT_FILL,
        describe:
          'fetch the rest of an open image: not at all, when the link is idle and the cache has room, or by all means',
      })
      .option('max-fill', {
        type: 'string',
        describe: 'most stored bytes a second that a fill fetches, as 20M (default: what guests leave of the link)',
      })
      .option('max-upload', MAX_UPLOAD)
      .option('profile', {
        choices: PROFILE_MODES,
        default: DEFAULT_PROFILE,
        describe: 'boot profiles: record and replay them, replay them only, or neither',
      })
      .option('workers', {
        type: 'string',
        describe: 'threads that serve reads and writes (default: as many as cores, at least 8)',
      })
      .option('read-only', { type: 'boolean', default: false, describe: 'snapshots only, no disk.raw' })
      .option('allow-other', {
        type: 'boolean',
        default: false,
        describe: 'let other users in, as far as owners and modes allow',
      })
      .option('uid', { type: 'string', describe: 'owner of all files (default: you)' })
      .option('gid', { type: 'string', describe: 'group of all files (default: yours)' })
      .option('umask', { type: 'string', default: '0', describe: 'permission bits (octal) that files do not get' })
      .option('timeout', {
        type: 'string',
        describe: 'seconds that reads wait for a store that is away (default 300; 0: for ever)',
      })
      .option('foreground', { type: 'boolean', default: false, describe: 'serve in this process, log to stderr too' })
      .option('force', { type: 'boolean', default: false, describe: 'accept a state folder in memory (tmpfs)' }),
  run: async (options, context) => {
    const address = await resolveAddress({ url: options.repository, endpoint: options.endpoint }, context.environment);
    requireRoot(context);
    const mountpoint = await resolveMountpoint(options.mountpoint);
    if (await isMountedAlready(mountpoint, address.url, context)) {
      context.output.result(
        { mountpoint, repository: address.url, alreadyMounted: true },
        () => `${address.url} is mounted on ${mountpoint} already`,
      );
      return;
    }
    await checkMountpoint(mountpoint);
    const settings: MountSettings = {
      repository: address.url,
      endpoint: address.endpoint,
      mountpoint,
      stateDirectory: options.state === undefined ? null : resolve(options.state),
      cacheDirectory: options.cache === undefined ? null : resolve(options.cache),
      cacheSizeBytes: options.cacheSize === undefined ? null : parseCacheSize(options.cacheSize),
      driver: options.driver,
      fill: options.fill,
      maxFillBytesPerSecond:
        options.maxFill === undefined ? null : parseRate(options.maxFill, '--max-fill', LEAST_FILL_RATE),
      maxUploadBytesPerSecond: maxUploadBytesPerSecond(options),
      profile: options.profile,
      workers: options.workers === undefined ? null : parseCount(options.workers, '--workers', 1, 64),
      readOnly: options.readOnly,
      allowOther: options.allowOther,
      uid: options.uid === undefined ? (process.getuid?.() ?? 0) : parseCount(options.uid, '--uid', 0, 2 ** 32 - 2),
      gid: options.gid === undefined ? (process.getgid?.() ?? 0) : parseCount(options.gid, '--gid', 0, 2 ** 32 - 2),
      umask: parseUmask(options.umask),
      timeoutMs: options.timeout === undefined ? DEFAULT_OUTAGE_MS : parseSeconds(options.timeout, '--timeout'),
      force: options.force,
    };
    await (options.foreground ? serveHere(settings, context) : leaveDaemon(settings, context));
  },
});

async function leaveDaemon(settings: MountSettings, context: VerbContext): Promise<void> {
  const outcome = await launch(settings, {
    program: SUPERVISOR_PROGRAM,
    errorFile: processErrorFile(context.registry, settings.mountpoint),
    environment: context.environment,
  });
  report(settings, outcome, context);
}

async function serveHere(settings: MountSettings, context: VerbContext): Promise<void> {
  const { openMountFromSettings } = await import('./stack.js');
  const opened = await openMountFromSettings(settings, context.registry, {
    environment: context.environment,
    echo: (line) => context.output.streams.stderr.write(`${line}\n`),
  });
  const stateDirectory = opened.live.parts.stateDirectory;
  const { degraded, survivable } = opened;
  report(settings, { daemonPid: process.pid, supervisorPid: null, stateDirectory, degraded, survivable }, context);
  await runUntilEnd(opened);
}

/** What a mount came to; in the foreground there is no supervisor. */
type Outcome = DaemonOutcome & { readonly supervisorPid: number | null };

function report(settings: MountSettings, outcome: Outcome, { output }: VerbContext): void {
  const { mountpoint, repository } = settings;
  output.result(
    { mountpoint, repository, alreadyMounted: false, ...outcome },
    () => `mounted ${repository} on ${mountpoint}`,
  );
  if (outcome.degraded) {
    output.note(
      'The store does not answer: images that are local work, others wait for it. `lazydisk status` says when it is back.',
    );
  }
  if (!outcome.survivable && outcome.supervisorPid !== null) {
    output.note(
      'This mount ends when its daemon dies: the kernel (Linux 6.9 or later) or the driver can’t hand it over.',
    );
  }
}

function requireRoot({ uid }: VerbContext): void {
  if (uid === 0) return;
  throw new LazydiskError(
    'UNSUPPORTED',
    'Mounting needs root for now: run it as root, with sudo for example; --uid and --gid give the files to you.',
  );
}

/** Whether this repository lives there. EXISTS: another one does. */
async function isMountedAlready(mountpoint: string, url: string, { registry }: VerbContext): Promise<boolean> {
  const entry = await registry.find(mountpoint);
  if (entry === undefined || (await mountedAt(mountpoint))?.type !== FILE_SYSTEM_TYPE) return false;
  if (entry.repository === url) return true;
  throw new LazydiskError(
    'EXISTS',
    `${entry.repository} is mounted on ${mountpoint}: unmount it first, or choose another folder.`,
    {
      facts: { mountpoint, repository: entry.repository },
    },
  );
}

/** An empty folder; what a dead daemon left there is the next daemon's to clear. */
async function checkMountpoint(mountpoint: string): Promise<void> {
  if ((await mountedAt(mountpoint))?.type === FILE_SYSTEM_TYPE) return;
  let names: string[];
  try {
    if (!(await stat(mountpoint)).isDirectory()) {
      throw new LazydiskError('USAGE', `The mountpoint ${mountpoint} is not a folder: name an empty folder.`);
    }
    names = await readdir(mountpoint);
  } catch (error) {
    if (error instanceof LazydiskError) throw error;
    if (errnoOf(error) === 'ENOENT') {
      throw new LazydiskError('NOT_FOUND', `There is no folder ${mountpoint}: create it first.`, { cause: error });
    }
    throw new LazydiskError('IO', `The mountpoint ${mountpoint} can't be read: ${messageOf(error)}.`, { cause: error });
  }
  const [first] = names;
  if (first !== undefined) {
    throw new LazydiskError(
      'USAGE',
      `The mountpoint ${mountpoint} is not empty (${first} is in it): name an empty folder.`,
    );
  }
}

function parseCacheSize(text: string): number {
  const bytes = parseSize(text, '--cache-size');
  if (bytes >= LEAST_CACHE_BYTES) return bytes;
  throw new LazydiskError('USAGE', `--cache-size must be at least ${formatSize(LEAST_CACHE_BYTES)}, not ${text}.`);
}

function parseUmask(text: string): number {
  if (/^0?[0-7]{1,3}$/.test(text)) return parseInt(text, 8);
  throw new LazydiskError('USAGE', `--umask takes octal permission bits such as 027, not ${JSON.stringify(text)}.`);
}
