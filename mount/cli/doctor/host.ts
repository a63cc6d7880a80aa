/** What lazydisk needs of a host: Node, the kernel, FUSE, and the helper of mount(8). */
import { closeSync, constants } from 'node:fs';
import { access, mkdtemp, readFile, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MNT_DETACH, umount2 } from '../../../lib/util/syscalls.js';
import { mountDevice } from '../../fuse/device.js';
import { mountsByItself, unmountByFusermount } from '../../fuse/fusermount.js';
import { failed, fail, ok, warn, type Finding } from './finding.js';

/** As package.json says it; a test compares. */
export const LEAST_NODE = '20.19';
/** Where FUSE has MAX_PAGES, and where it can send requests again and read files by itself. */
const LEAST_KERNEL = '5.4';
const FULL_KERNEL = '6.9';
const HELPER = '/sbin/mount.lazydisk';
const FUSE_CONFIGURATION = '/etc/fuse.conf';

/** `version` as `process.versions.node`. */
export function nodeFinding(version: string): Finding {
  if (isAtLeast(version, LEAST_NODE)) return ok('Node', version);
  return fail('Node', version, `Install Node ${LEAST_NODE} or later.`);
}

/** `release` as uname(1) says it: `6.1.0-28-amd64`. */
export function kernelFinding(release: string): Finding {
  if (!isAtLeast(release, LEAST_KERNEL)) {
    return fail('kernel', release, `Use Linux ${LEAST_KERNEL} or later; ${FULL_KERNEL} is better.`);
  }
  if (isAtLeast(release, FULL_KERNEL)) return ok('kernel', release);
  return warn(
    'kernel',
    release,
    `A daemon that dies takes its mount with it, until it is mounted again: Linux ${FULL_KERNEL} keeps it.`,
  );
}

/** Mounts for a moment, on a folder of its own, and tells what the kernel agreed to. */
export async function fuseFindings(): Promise<Finding[]> {
  const folder = await mkdtemp(join(tmpdir(), 'lazydisk-doctor-'));
  try {
    const options = { mountpoint: folder, source: 'lazydisk doctor', allowOther: false, readOnly: true };
    const { descriptor, mountpoint, negotiated } = await mountDevice(options);
    // Closed first: then the kernel waits for nobody when it unmounts.
    closeSync(descriptor);
    await (mountsByItself() ? umount2(mountpoint, MNT_DETACH) : unmountByFusermount(mountpoint, { lazily: true }));
    return [
      ok('FUSE', `mounted for a moment, protocol 7.${String(negotiated.minor)}`),
      negotiated.canResend
        ? ok('FUSE resend', 'guests go on when a daemon dies or is restarted')
        : warn('FUSE resend', 'missing', `When a daemon dies its mount ends: Linux ${FULL_KERNEL} can keep it.`),
      passthroughFinding(negotiated.canPassThrough, mountsByItself()),
    ];
  } catch (error) {
    return [failed('FUSE', error)];
  } finally {
    await rmdir(folder);
  }
}

export function passthroughFinding(canPassThrough: boolean, byRoot: boolean): Finding {
  const check = 'FUSE passthrough';
  if (canPassThrough && byRoot) return ok(check, 'the kernel reads flattened snapshots by itself');
  return canPassThrough
    ? warn(
        check,
        'for root alone',
        'Flattened snapshots are read through the daemon; the kernel reads them by itself for root.',
      )
    : warn(
        check,
        'missing',
        `Flattened snapshots are read through the daemon: Linux ${FULL_KERNEL} reads them by itself.`,
      );
}

/** Of users other than root: whether they may let others in. */
export async function allowOtherFinding(uid: number, configuration = FUSE_CONFIGURATION): Promise<Finding> {
  const check = '--allow-other';
  if (uid === 0) return ok(check, 'root may always');
  const text = await readFile(configuration, 'utf8').catch(() => '');
  if (/^\s*user_allow_other\s*$/m.test(text)) return ok(check, `${configuration} allows it`);
  return warn(
    check,
    'only root may',
    `A line user_allow_other in ${configuration} lets users do it; without, a mount is seen by you alone.`,
  );
}

/** Whether mount(8) and fstab know us. */
export async function helperFinding(path = HELPER): Promise<Finding> {
  const there = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (there) return ok('mount(8)', path);
  return warn(
    'mount(8)',
    `there is no ${path}`,
    'fstab and mount -t lazydisk need it: make install, or the Debian package, puts it there.',
  );
}

/** By the numbers at the beginning, part by part. */
function isAtLeast(version: string, least: string): boolean {
  const numbers = (text: string): number[] => (/^[\d.]*/.exec(text)?.[0] ?? '').split('.').map(Number);
  const [has, needs] = [numbers(version), numbers(least)];
  const at = needs.findIndex((need, part) => (has[part] ?? 0) !== need);
  return at === -1 || (has[at] ?? 0) > (needs[at] ?? 0);
}
