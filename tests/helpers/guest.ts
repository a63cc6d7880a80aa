/** A real guest in QEMU, without KVM: a Debian that boots, works, checks its own data and says so on its serial console. */
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { must, start } from './processes.js';
import { waitFor } from './waiting.js';

const TOOL = resolve('tests/tools/make-guest.sh');
const CACHE = resolve('.cache/guest');

/** Path of the guest's disk; built once by tests/tools/make-guest.sh and kept until that script changes. */
export async function guestImage(): Promise<string> {
  const image = join(CACHE, 'guest.raw');
  const isCurrent = existsSync(image) && (await stat(image)).mtimeMs > (await stat(TOOL)).mtimeMs;
  if (!isCurrent) await must(TOOL, [image], { env: { CACHE }, timeoutMs: 400_000 });
  return image;
}

export interface GuestRun {
  /** Path of QEMU's monitor, for tests/helpers/qmp.ts. */
  readonly monitor: string;
  /** Resolves when the console shows the text; rejects when the guest ends before. */
  shows(text: RegExp, timeoutMs: number): Promise<string>;
  /** Resolves to the console's whole text when QEMU has ended. */
  readonly ended: Promise<string>;
}

/** What a guest's machine has beside its disk, and what a restart of it does. */
export interface Machine {
  readonly memoryMib: number;
  /** `user`: this host is 10.0.2.2, its loopback included. */
  readonly network: 'none' | 'user';
  readonly atReboot: 'end' | 'boot again';
  /** A raw file that it sees read-only as /dev/vdb. */
  readonly secondDisk?: string;
}

const SMALL: Machine = { memoryMib: 512, network: 'none', atReboot: 'end' };

/** Boots from a disk as our recipes say. Each read of the disk is logged to `readLog`. */
export function bootGuest(disk: string, readLog: string, machine: Machine = SMALL): GuestRun {
  const monitor = `${readLog}.monitor`;
  const drive = [
    `file=${disk}`,
    ...['format=raw', 'if=virtio', 'cache=none', 'aio=native', 'discard=unmap', 'rerror=stop', 'werror=stop'],
  ];
  const qemu = start('qemu-system-x86_64', [
    ...['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', String(machine.memoryMib), '-nographic'],
    ...(machine.atReboot === 'end' ? ['-no-reboot'] : []),
    ...['-nic', machine.network === 'user' ? 'user,model=virtio-net-pci' : 'none'],
    ...['-drive', drive.join(','), '-qmp', `unix:${monitor},server=on,wait=off`],
    ...(machine.secondDisk === undefined
      ? []
      : ['-drive', `file=${machine.secondDisk},format=raw,if=virtio,readonly=on`]),
    ...['-trace', 'enable=blk_co_preadv', '-D', readLog],
  ]);
  let over = false;
  const ended = qemu.ended.then(({ stdout, stderr }) => {
    over = true;
    return stdout + stderr;
  });
  return {
    monitor,
    ended,
    shows: (text, timeoutMs) =>
      waitFor(
        `the guest shows ${String(text)}`,
        () => {
          const match = text.exec(qemu.output())?.[0];
          if (match === undefined && over) return 'ended';
          return match;
        },
        { timeoutMs, intervalMs: 20 },
      ).then((match) => {
        if (match === 'ended') throw new Error(`the guest ended before ${String(text)}:\n${qemu.output()}`);
        return match;
      }),
  };
}

/** The reads in QEMU's log, in the format of tests/tools/replay-trace.mjs. */
export async function readsOf(readLog: string): Promise<string[]> {
  const log = await readFile(readLog, 'utf8');
  return [...log.matchAll(/^blk_co_preadv .* offset (\d+) bytes (\d+) /gm)].map(
    ([, offset = '', lengthBytes = '']) => `0 r ${offset} ${lengthBytes}`,
  );
}
