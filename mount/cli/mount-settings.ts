/** From the options of `lazydisk mount` to the values that a daemon is started with: what each may be is decided here. */
import { access, constants } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { InferredOptionTypes } from 'yargs';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import { isLoopback, parseListenAddress, type ListenAddress } from '../service/listen-address.js';
import type { MountSettings } from '../service/settings.js';
import { groupId, userId } from './account-names.js';
import { parseDuration } from './durations.js';
import type { MOUNT_OPTIONS } from './mount-options.js';
import { formatSize, parseRate, parseSize } from './sizes.js';
import type { ResolvedAddress } from './store-stack.js';
import { maxUploadBytesPerSecond, parseCount, parseSeconds, type CommonOptions } from './verb.js';

/** Reads of guests wait so long for a store that is away. */
const DEFAULT_OUTAGE_MS = 300_000;
/** A quota below this could not hold the chunks of the requests that run at once. */
const LEAST_CACHE_BYTES = 64 * 1024 * 1024;
/** Slower, a fill would not end within the life of a guest. */
const LEAST_FILL_RATE = 64 * 1024;

type Camel<Text extends string> = Text extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Text;

/** What yargs makes of the table of options. */
export type ParsedMountOptions = {
  readonly [Name in keyof typeof MOUNT_OPTIONS as Camel<Name>]: InferredOptionTypes<typeof MOUNT_OPTIONS>[Name];
};

/** The settings of a mount. `mountpoint` is resolved. USAGE, NOT_FOUND: an option that can't be. */
export async function mountSettings(
  options: ParsedMountOptions & Pick<CommonOptions, 'noSignRequest' | 'addressing'>,
  address: ResolvedAddress,
  mountpoint: string,
): Promise<MountSettings> {
  return {
    repository: address.url,
    endpoint: address.endpoint,
    mountpoint,
    stateDirectory: options.state === undefined ? null : resolve(options.state),
    cacheDirectory: options.cache === undefined ? null : resolve(options.cache),
    cacheSizeBytes: options.cacheSize === undefined ? null : parseCacheSize(options.cacheSize),
    credentialsFile: options.credentials === undefined ? null : await readableFile(options.credentials),
    noSignRequest: options.noSignRequest,
    addressing: options.addressing ?? null,
    driver: options.driver,
    fill: options.fill,
    maxFillBytesPerSecond:
      options.maxFill === undefined ? null : parseRate(options.maxFill, '--max-fill', LEAST_FILL_RATE),
    maxUploadBytesPerSecond: maxUploadBytesPerSecond(options),
    profile: options.profile,
    workers: options.workers === undefined ? null : parseCount(options.workers, '--workers', 1, 64),
    readOnly: options.readOnly,
    allowOther: options.allowOther,
    dashboard: options.dashboard === undefined ? null : parseDashboardAddress(options.dashboard),
    noExec: options.noexec,
    selinuxContext: options.context === undefined ? null : parseContext(options.context),
    uid: options.uid === undefined ? (process.getuid?.() ?? 0) : await userId(options.uid, '--uid'),
    gid: options.gid === undefined ? (process.getgid?.() ?? 0) : await groupId(options.gid, '--gid'),
    umask: parseUmask(options.umask),
    timeoutMs: options.timeout === undefined ? DEFAULT_OUTAGE_MS : parseSeconds(options.timeout, '--timeout'),
    metrics: options.metrics === undefined ? null : parseListenAddress(options.metrics, '--metrics'),
    logFormat: options.logFormat,
    logLevel: options.logLevel,
    slowReadMs: options.slowRead === 'off' ? 0 : parseDuration(options.slowRead, '--slow-read'),
    force: options.force,
  };
}

async function readableFile(path: string): Promise<string> {
  const file = resolve(path);
  try {
    await access(file, constants.R_OK);
  } catch (error) {
    throw new LazydiskError(
      'USAGE',
      `The file of --credentials can't be read (${messageOf(error)}): name one like ~/.aws/credentials.`,
      { cause: error },
    );
  }
  return file;
}

function parseCacheSize(text: string): number {
  const bytes = parseSize(text, '--cache-size');
  if (bytes >= LEAST_CACHE_BYTES) return bytes;
  throw new LazydiskError('USAGE', `--cache-size must be at least ${formatSize(LEAST_CACHE_BYTES)}, not ${text}.`);
}

/** The page can revert disks, and its token would travel in the clear: it is for this host, and for what ssh brings here. */
function parseDashboardAddress(text: string): ListenAddress {
  const address = parseListenAddress(text, '--dashboard');
  if (isLoopback(address)) return address;
  throw new LazydiskError(
    'USAGE',
    `--dashboard is served on this host alone, as 127.0.0.1:${String(address.port)}, not ${text}: from elsewhere, use ` +
      `\`ssh -L ${String(address.port || 8090)}:127.0.0.1:${String(address.port || 8090)} HOST\`.`,
  );
}

function parseContext(text: string): string {
  if (/^[^"\s:]+:[^"\s:]+:[^"\s:]+(:[^"\s]+)?$/.test(text)) return text;
  throw new LazydiskError(
    'USAGE',
    `--context takes an SELinux context such as system_u:object_r:virt_image_t:s0, not ${JSON.stringify(text)}.`,
  );
}

function parseUmask(text: string): number {
  if (/^0?[0-7]{1,3}$/.test(text)) return parseInt(text, 8);
  throw new LazydiskError('USAGE', `--umask takes octal permission bits such as 027, not ${JSON.stringify(text)}.`);
}
