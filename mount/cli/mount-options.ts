/**
 * The options of `lazydisk mount`, in the order of its help. The one table: the verb's command line, the man page, the
 * completion, the configuration page and the -o twins of mount(8) (mount-twins.ts) are made from it.
 *
 * An option is added here, and given its meaning in mount-settings.ts; nothing else has to know it.
 */
import type { Options } from 'yargs';
import type { FillMode, ProfileMode } from '../../lib/image/api.js';
import { LOG_LEVELS, type LogFormat, type LogLevel } from '../service/log-line.js';
import { MAX_UPLOAD } from './common-options.js';

const FILL_MODES: readonly FillMode[] = ['off', 'idle', 'eager'];
const PROFILE_MODES: readonly ProfileMode[] = ['auto', 'replay', 'off'];
const DEFAULT_PROFILE: ProfileMode = 'auto';
/** An idle link costs nothing, and a guest that finds its disk local is the point (docs/decisions/0012). */
const DEFAULT_FILL: FillMode = 'idle';
const DRIVERS: readonly ('kernel' | 'fuse-native')[] = ['kernel', 'fuse-native'];
const DEFAULT_DRIVER: 'kernel' | 'fuse-native' = 'kernel';
const LOG_FORMATS: readonly LogFormat[] = ['json', 'text'];
const DEFAULT_LOG_FORMAT: LogFormat = 'json';
const DEFAULT_LOG_LEVEL: LogLevel = 'info';

export const MOUNT_OPTIONS = {
  state: { type: 'string', describe: 'folder for local writes (default /var/lib/lazydisk/<repository id>)' },
  cache: { type: 'string', describe: 'folder for fetched chunks (default: within the state folder)' },
  'cache-size': {
    type: 'string',
    describe: 'most bytes of fetched chunks to keep (default: 10 % of the disk stays free)',
  },
  credentials: {
    type: 'string',
    describe: 'file with the keys of the store, in the form of ~/.aws/credentials (instead of the AWS_* variables)',
  },
  driver: {
    choices: DRIVERS,
    default: DEFAULT_DRIVER,
    describe: 'how to reach the kernel; fuse-native needs libfuse 2, and can neither discard nor seek holes',
  },
  fill: {
    choices: FILL_MODES,
    default: DEFAULT_FILL,
    describe:
      'fetch the rest of an open image: not at all, when the link is idle and the cache has room, or by all means',
  },
  'max-fill': {
    type: 'string',
    describe: 'most stored bytes a second that a fill fetches, as 20M (default: what guests leave of the link)',
  },
  'max-upload': MAX_UPLOAD,
  profile: {
    choices: PROFILE_MODES,
    default: DEFAULT_PROFILE,
    describe: 'boot profiles: record and replay them, replay them only, or neither',
  },
  workers: {
    type: 'string',
    describe: 'threads that serve reads and writes (default: as many as cores, at least 8)',
  },
  'read-only': { type: 'boolean', default: false as boolean, describe: 'snapshots only, no disk.raw' },
  'allow-other': {
    type: 'boolean',
    default: false as boolean,
    describe: 'let other users in, as far as owners and modes allow',
  },
  uid: { type: 'string', describe: 'owner of all files, a name or a number (default: you)' },
  gid: { type: 'string', describe: 'group of all files, a name or a number (default: yours)' },
  umask: { type: 'string', default: '0' as string, describe: 'permission bits (octal) that files do not get' },
  timeout: {
    type: 'string',
    describe: 'seconds that reads wait for a store that is away (default 300; 0: for ever)',
  },
  metrics: {
    type: 'string',
    describe: 'serve metrics for Prometheus there, as 127.0.0.1:9100; who can connect can read them',
  },
  'log-format': {
    choices: LOG_FORMATS,
    default: DEFAULT_LOG_FORMAT,
    describe: 'lines of daemon.log, and of stderr with --foreground: JSON for programs, text for people',
  },
  'log-level': {
    choices: LOG_LEVELS,
    default: DEFAULT_LOG_LEVEL,
    describe: 'the least important lines that are logged',
  },
  'slow-read': {
    type: 'string',
    default: '1s' as string,
    describe: 'log reads that wait for the store so long, as 500ms; off: none',
  },
  dashboard: {
    type: 'string',
    describe: 'serve a page that shows what goes on, at a loopback address and port as 127.0.0.1:8090',
  },
  noexec: { type: 'boolean', default: false as boolean, describe: 'no file of the mount can be run as a program' },
  context: { type: 'string', describe: 'SELinux context of all files, on hosts that have SELinux' },
  foreground: { type: 'boolean', default: false as boolean, describe: 'serve in this process, log to stderr too' },
  force: { type: 'boolean', default: false as boolean, describe: 'accept a state folder in memory (tmpfs)' },
} as const satisfies Readonly<Record<string, Options>>;
