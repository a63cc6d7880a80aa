/**
 * Opens /dev/fuse, mounts, and answers INIT. What comes out is plain data: a descriptor and what was agreed. Whoever has
 * both can serve the mount; this module does not. So daemons can follow one another, each with a copy of the descriptor.
 *
 * Checks come before the mount: after it, nothing here may touch the mountpoint, since nobody answers yet.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readSync, writeSync, writevSync } from 'node:fs';
import { errnoOf, LazydiskError } from '../../lib/util/errors.js';
import { mount, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from '../../lib/util/syscalls.js';
import type { MountOptions } from './driver.js';
import { errnoNumber } from './errno.js';
import { mountByFusermount, mountsByItself } from './fusermount.js';
import { FILE_SYSTEM_TYPE, mountAt, readMountTable } from './mount-table.js';
import { checkMountpoint } from './mountpoint-check.js';
import { notification, NOTIFY_RESEND, replyHeader } from './protocol/encode.js';
import { decodeInit, negotiate, type FeatureSet, type Negotiated } from './protocol/init.js';
import { MAX_DATA_BYTES, REQUEST_BUFFER_BYTES } from './protocol/limits.js';
import { contextWords } from './selinux.js';
import { detach } from './unmounting.js';

const DEVICE = '/dev/fuse';

/** What a later daemon needs besides the descriptor to serve a mount. Plain data: it travels as JSON. */
export interface Connection {
  /** Random. Numbers of requests are unique within a connection, and are kept under this name. */
  readonly id: string;
  readonly negotiated: Negotiated;
  /** Without symbolic links. */
  readonly mountpoint: string;
  /** `major:minor` of the mount. */
  readonly device: string;
}

/** A mount that waits to be served, with the descriptor that it owns. */
export interface MountedDevice extends Connection {
  /** Of /dev/fuse. When its last copy is closed, the mount is dead. */
  readonly descriptor: number;
}

/**
 * Mounts, as root with a descriptor that is open already or one of its own, else with the one that fusermount3 brings. LazydiskError:
 * UNSUPPORTED (no /dev/fuse, no right to mount, old kernel), and what `checkMountpoint` says.
 */
export async function mountDevice(
  options: MountOptions,
  { opened, without }: { readonly opened?: number | undefined; readonly without?: FeatureSet | undefined } = {},
): Promise<MountedDevice> {
  const mountpoint = await checkMountpoint(options.mountpoint);
  let mounted = !mountsByItself();
  const descriptor = mounted ? await mountByFusermount({ ...options, mountpoint }) : (opened ?? openDevice());
  try {
    if (!mounted) mountOn(mountpoint, descriptor, options);
    mounted = true;
    const negotiated = handshake(descriptor, without);
    const entry = mountAt(await readMountTable(), mountpoint);
    if (entry?.type !== FILE_SYSTEM_TYPE) {
      throw new LazydiskError('CONFLICT', `The mount on ${mountpoint} was taken away or covered while it was made.`);
    }
    return { id: randomBytes(16).toString('hex'), descriptor, negotiated, mountpoint, device: entry.device };
  } catch (error) {
    // Closed first: then the kernel waits for nobody when it unmounts.
    closeSync(descriptor);
    if (mounted) await detach(mountpoint);
    throw error;
  }
}

/** What can be handed on. */
export function connectionOf({ id, negotiated, mountpoint, device }: MountedDevice): Connection {
  return { id, negotiated, mountpoint, device };
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

/**
 * Has the kernel send again what a daemon that is gone had taken and not answered. Before anything is read: those requests
 * then come with a mark in their numbers (RESENT_BIT). To be asked only where `negotiated.canResend` says so.
 */
export function resendRequests(descriptor: number): void {
  try {
    writeSync(descriptor, notification(NOTIFY_RESEND));
  } catch (error) {
    // Unmounted meanwhile: the first read says so.
    if (errnoOf(error) !== 'ENODEV' && errnoOf(error) !== 'ENOTCONN') throw error;
  }
}

function mountOn(mountpoint: string, descriptor: number, options: MountOptions): void {
  const flags = MS_NOSUID | MS_NODEV | (options.readOnly ? MS_RDONLY : 0) | (options.noExec === true ? MS_NOEXEC : 0);
  // The kernel checks owners and modes itself (default_permissions), always.
  const data = [
    `fd=${String(descriptor)},rootmode=40000,user_id=0,group_id=0,default_permissions`,
    `max_read=${String(MAX_DATA_BYTES)}`,
    ...(options.allowOther ? ['allow_other'] : []),
    ...contextWords(options),
  ].join(',');
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
function handshake(descriptor: number, without: FeatureSet | undefined): Negotiated {
  const buffer = Buffer.alloc(REQUEST_BUFFER_BYTES);
  for (;;) {
    const lengthBytes = readSync(descriptor, buffer, 0, buffer.length, null);
    const { unique, init } = decodeInit(buffer.subarray(0, lengthBytes));
    let negotiation;
    try {
      negotiation = negotiate(init, without);
    } catch (error) {
      writevSync(descriptor, [replyHeader(unique, errnoNumber('EPROTO'), 0)]);
      throw error;
    }
    writevSync(descriptor, [replyHeader(unique, 0, negotiation.reply.byteLength), negotiation.reply]);
    if (negotiation.kind === 'agreed') return negotiation.negotiated;
  }
}
