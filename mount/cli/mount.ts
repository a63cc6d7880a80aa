/** `lazydisk mount`: leaves a daemon that serves the repository's images as files. */
import { readdir, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import { runUntilEnd } from '../service/daemon-process.js';
import { launch } from '../service/launch.js';
import { FILE_SYSTEM_TYPE } from '../fuse/mount-table.js';
import { mountedAt, resolveMountpoint } from '../service/mountpoint.js';
import { processErrorFile } from '../service/registry.js';
import { tellServiceManager } from '../service/service-manager.js';
import type { MountSettings } from '../service/settings.js';
import type { DaemonOutcome } from '../service/supervision.js';
import { MOUNT_OPTIONS } from './mount-options.js';
import { mountSettings } from './mount-settings.js';
import { resolveAddress } from './store-stack.js';
import { defineVerb, type VerbContext } from './verb.js';

const SUPERVISOR_PROGRAM = fileURLToPath(new URL('./supervisor-main.js', import.meta.url));

export const mountVerb = defineVerb({
  command: 'mount <repository> <mountpoint>',
  summary: 'Show the images of a repository as raw files',
  examples: [
    ['mount s3://images/prod /mnt', 'credentials and server from the AWS_* environment or files'],
    ['mount file:///srv/images /mnt --cache-size 20G', 'keep at most 20 GiB of chunks'],
    ['mount s3://images/prod /mnt --dashboard 127.0.0.1:8090', 'with a page in the browser; its address is printed'],
    ['mount s3://images/prod /mnt --read-only --allow-other', 'snapshots only, for every user'],
  ],
  options: (program) =>
    program
      .positional('repository', { type: 'string', demandOption: true, describe: 's3://bucket/prefix or file:///dir' })
      .positional('mountpoint', { type: 'string', demandOption: true, describe: 'an empty folder' })
      .options(MOUNT_OPTIONS),
  run: async (options, context) => {
    const address = await resolveAddress({ url: options.repository, endpoint: options.endpoint }, context.environment);
    const mountpoint = await resolveMountpoint(options.mountpoint);
    if (await isMountedAlready(mountpoint, address.url, context)) {
      context.output.result(
        { mountpoint, repository: address.url, alreadyMounted: true },
        () => `${address.url} is mounted on ${mountpoint} already`,
      );
      return;
    }
    await checkMountpoint(mountpoint);
    const settings = await mountSettings(options, address, mountpoint);
    await (options.foreground ? serveHere(settings, context) : leaveDaemon(settings, context));
  },
});

async function leaveDaemon(settings: MountSettings, context: VerbContext): Promise<void> {
  const outcome = await launch(settings, {
    program: SUPERVISOR_PROGRAM,
    errorFile: processErrorFile(context.registry, settings.mountpoint),
    environment: context.environment,
  });
  await report(settings, outcome, context);
}

async function serveHere(settings: MountSettings, context: VerbContext): Promise<void> {
  const { openMountFromSettings } = await import('./stack.js');
  const opened = await openMountFromSettings(settings, context.registry, {
    environment: context.environment,
    echo: (line) => context.output.streams.stderr.write(`${line}\n`),
  });
  const stateDirectory = opened.live.parts.stateDirectory;
  const { degraded, survivable, dashboard } = opened;
  await report(
    settings,
    { daemonPid: process.pid, supervisorPid: null, stateDirectory, degraded, survivable, dashboard },
    context,
  );
  await runUntilEnd(opened);
}

/** What a mount came to; in the foreground there is no supervisor. */
type Outcome = DaemonOutcome & { readonly supervisorPid: number | null };

async function report(settings: MountSettings, outcome: Outcome, context: VerbContext): Promise<void> {
  const { output, environment } = context;
  const { mountpoint, repository } = settings;
  output.result(
    { mountpoint, repository, alreadyMounted: false, ...outcome },
    () => `mounted ${repository} on ${mountpoint}`,
  );
  const readiness = { mainPid: outcome.supervisorPid, status: `${repository} is mounted on ${mountpoint}` };
  const failure = await tellServiceManager(readiness, environment);
  if (failure !== undefined) output.note(`The service manager could not be told that the mount is ready: ${failure}.`);
  if (outcome.dashboard !== null) output.note(dashboardNote(outcome.dashboard, mountpoint, output.onTerminal));
  if (outcome.degraded) {
    output.note(
      'The store does not answer: images that are local work, others wait for it. `lazydisk status` says when it is back.',
    );
  }
  if (!outcome.survivable && outcome.supervisorPid !== null) {
    output.note(
      'This mount ends when its daemon dies: the kernel (before Linux 6.9), the driver or the rights here don’t let another one take over.',
    );
  }
}

/** The token is for who sits at the terminal: what is printed elsewhere ends in a journal that others read. */
function dashboardNote(url: string, mountpoint: string, onTerminal: boolean): string {
  if (onTerminal) return `The dashboard: ${url}`;
  return `The dashboard is at ${new URL(url).origin}; \`lazydisk dashboard ${mountpoint}\` prints the address with its token.`;
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
