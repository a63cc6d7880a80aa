/**
 * Opens /dev/fuse, mounts, and answers INIT. What comes out is plain data: a descriptor and what was agreed. Whoever has
 * both can serve the mount; this module does not. So a supervisor can mount, and daemons can follow one another.
 *
 * Checks come before the mount: after it, nothing here may touch the mountpoint, since nobody answers yet.
 */
import { closeSync, openSync, readSync, writevSync } from 'node:fs';
import { errnoOf, LazydiskError } from '../../lib/util/errors.js';
import { MNT_DETACH, mount, MS_NODEV, MS_NOSUID, MS_RDONLY, umount2 } from '../../lib/util/syscalls.js';
import type { MountOptions } from './driver.js';
import { errnoNumber } from './errno.js';
import { FILE_SYSTEM_TYPE, mountAt, readMountTable } from './mount-table.js';
import { checkMountpoint } from './mountpoint-check.js';
import { replyHeader } from './protocol/encode.js';
import { decodeInit, negotiate, type Negotiated } from './protocol/init.js';
import { MAX_DATA_BYTES, REQUEST_BUFFER_BYTES } from './protocol/limits.js';

const DEVICE = '/dev/fuse';

/** A mount that waits to be served. Plain data, apart from the descriptor that it owns. */
export interface MountedDevice {
  /** Of /dev/fuse. When its last copy is closed, the mount is dead. */
  readonly descriptor: number;
  readonly negotiated: Negotiated;
  /** Without symbolic links. */
  readonly mountpoint: string;
  /** `major:minor` of the mount. */
  readonly device: string;
}

/**
 * Mounts. LazydiskError: UNSUPPORTED (no /dev/fuse, no right to mount, old kernel), and what `checkMountpoint` says.
 */
export async function mountDevice(options: MountOptions): Promise<MountedDevice> {
  const mountpoint = await checkMountpoint(options.mountpoint);
  const descriptor = openDevice();
  let mounted = false;
  try {
    mountOn(mountpoint, descriptor, options);
    mounted = true;
    const negotiated = handshake(descriptor);
    const entry = mountAt(await readMountTable(), mountpoint);
    if (entry?.type !== FILE_SYSTEM_TYPE) {
      throw new LazydiskError('CONFLICT', `The mount on ${mountpoint} was taken away or covered while it was made.`);
    }
    return { descriptor, negotiated, mountpoint, device: entry.device };
  } catch (error) {
    // Closed first: then the kernel waits for nobody when it unmounts.
    closeSync(descriptor);
    if (mounted) umount2(mountpoint, MNT_DETACH);
    throw error;
  }
}

/** UNSUPPORTED when there is no FUSE here. */
export function openDevice(): number {
  try {
    return openSync(DEVICE, 'r+');
  } catch (error) {
    const code = errnoOf(error) ?? 'an error';
    throw new LazydiskError(
      'UNSUPPORTED',
      code === 'EACCES' || code === 'EPERM'
        ? `${DEVICE} can't be opened (${code}): in a container, hand in the device (--device ${DEVICE}).`
        : `There is no FUSE here (${DEVICE}: ${code}): load the kernel module (modprobe fuse), or hand the device in.`,
      { cause: error },
    );
  }
}

function mountOn(mountpoint: string, descriptor: number, options: MountOptions): void {
  const flags = MS_NOSUID | MS_NODEV | (options.readOnly ? MS_RDONLY : 0);
  // The kernel checks owners and modes itself (default_permissions), always.
  const data =
    `fd=${String(descriptor)},rootmode=40000,user_id=0,group_id=0,default_permissions,` +
    `max_read=${String(MAX_DATA_BYTES)}${options.allowOther ? ',allow_other' : ''}`;
  try {
    mount(options.source, mountpoint, FILE_SYSTEM_TYPE, flags, data);
  } catch (error) {
    const code = errnoOf(error) ?? 'an error';
    throw new LazydiskError(
      code === 'EBUSY' ? 'BUSY' : 'UNSUPPORTED',
      code === 'EPERM'
        ? `The kernel does not let this process mount (EPERM): it needs CAP_SYS_ADMIN.`
        : `The kernel refused to mount on ${mountpoint} (${code}).`,
      { cause: error },
    );
  }
}

/** Answers INIT. The kernel has queued it when mount(2) returns, so the read does not wait. */
function handshake(descriptor: number): Negotiated {
  const buffer = Buffer.alloc(REQUEST_BUFFER_BYTES);
  for (;;) {
    const lengthBytes = readSync(descriptor, buffer, 0, buffer.length, null);
    const { unique, init } = decodeInit(buffer.subarray(0, lengthBytes));
    let negotiation;
    try {
      negotiation = negotiate(init);
    } catch (error) {
      writevSync(descriptor, [replyHeader(unique, errnoNumber('EPROTO'), 0)]);
      throw error;
    }
    writevSync(descriptor, [replyHeader(unique, 0, negotiation.reply.byteLength), negotiation.reply]);
    if (negotiation.kind === 'agreed') return negotiation.negotiated;
  }
}
