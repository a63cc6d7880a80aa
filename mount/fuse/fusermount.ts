/**
 * Mounting without being root: through fusermount3, a program of libfuse that may mount for users and checks what they may.
 *
 * It opens /dev/fuse itself, mounts, and hands the descriptor over a socket whose number it finds in its environment. It
 * unmounts only what the same user has mounted. Its messages are for people, so they are passed on; what a caller has to
 * tell apart is read from them in the language that is asked for.
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { MountOptions } from './driver.js';
import { MAX_DATA_BYTES } from './protocol/limits.js';
import { contextWords } from './selinux.js';

const PROGRAM = 'fusermount3';
/** Behind stdin, stdout and stderr. */
const SOCKET_DESCRIPTOR = 3;
const CONFIGURATION = '/etc/fuse.conf';

/** Whether this process mounts by itself, or has to ask. */
export function mountsByItself(): boolean {
  return process.geteuid?.() === 0;
}

/** The list of options for fusermount3. */
export function fusermountOptions(options: Omit<MountOptions, 'mountpoint'>): string {
  const { source, readOnly, noExec = false, allowOther } = options;
  return [
    `fsname=${source.replace(/[\\,]/g, (character) => `\\${character}`)}`,
    'subtype=lazydisk',
    'nosuid',
    'nodev',
    'default_permissions',
    `max_read=${String(MAX_DATA_BYTES)}`,
    ...(readOnly ? ['ro'] : []),
    ...(noExec ? ['noexec'] : []),
    ...(allowOther ? ['allow_other'] : []),
    ...contextWords(options),
  ].join(',');
}

/** Mounts; resolves to the descriptor of /dev/fuse. UNSUPPORTED: no fusermount3, or it refused. */
export async function mountByFusermount(options: MountOptions): Promise<number> {
  const { mountpoint } = options;
  // Root does without it.
  const { receiveDescriptor, socketPair } = await import('../../lib/util/descriptors.js');
  const [ours, theirs] = socketPair();
  try {
    const words = ['-o', fusermountOptions(options), '--', mountpoint];
    const { status, said } = await fusermount(words, theirs);
    const descriptor = status === 0 ? receiveDescriptor(ours) : undefined;
    if (descriptor !== undefined) return descriptor;
    throw new LazydiskError('UNSUPPORTED', refusal(mountpoint, said));
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

/** Rejects with an error whose `code` is EBUSY (in use), EINVAL (not mounted) or IO. */
export async function unmountByFusermount(mountpoint: string, { lazily }: { readonly lazily: boolean }): Promise<void> {
  const { status, said } = await fusermount(['-u', ...(lazily ? ['-z'] : []), '--', mountpoint]);
  if (status === 0) return;
  const code = /busy/i.test(said) ? 'EBUSY' : /not found in|not mounted|invalid argument/i.test(said) ? 'EINVAL' : 'IO';
  throw Object.assign(new Error(said), { code });
}

function refusal(mountpoint: string, said: string): string {
  if (said.includes('user_allow_other')) {
    return `--allow-other is for root alone here: root can allow it to users by a line user_allow_other in ${CONFIGURATION}; without the option the mount is yours alone.`;
  }
  if (said.includes('/dev/fuse: Permission denied')) {
    return 'Users may not open /dev/fuse here: root can allow it (chmod 0666 /dev/fuse, as udev sets it), or mount as root.';
  }
  return `${PROGRAM} did not mount on ${mountpoint}: ${said === '' ? 'it gave no reason' : said}.`;
}

/** Runs it to its end, with `socket` under SOCKET_DESCRIPTOR. What it said is one line, without its name. */
function fusermount(words: readonly string[], socket?: number): Promise<{ status: number; said: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(PROGRAM, words, {
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe', socket ?? 'ignore'],
      env: { ...process.env, LC_ALL: 'C', _FUSE_COMMFD: String(SOCKET_DESCRIPTOR) },
    });
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.once('error', (error) => {
      reject(
        errnoOf(error) === 'ENOENT'
          ? new LazydiskError(
              'UNSUPPORTED',
              `Users other than root mount through ${PROGRAM}, which is not installed: install the package fuse3, or mount as root.`,
              { cause: error },
            )
          : new LazydiskError('UNSUPPORTED', `${PROGRAM} can't be run: ${messageOf(error)}.`, { cause: error }),
      );
    });
    child.once('close', (status) => {
      resolve({ status: status ?? -1, said: firstLine(said) });
    });
  });
}

function firstLine(text: string): string {
  const [line = ''] = text.trim().split('\n');
  return line.replace(new RegExp(`^${PROGRAM}: `), '').replace(/\.$/, '');
}
