/** The SELinux context of a mount. As mount(8) does, we pass it over on a host without SELinux, where the kernel would refuse it. */
import { existsSync } from 'node:fs';
import type { MountOptions } from './driver.js';

/** There when the kernel has a policy. */
const SELINUX = '/sys/fs/selinux/enforce';

/** The option for the kernel's list: one word or none. */
export function contextWords({ selinuxContext }: Pick<MountOptions, 'selinuxContext'>, sign = SELINUX): string[] {
  if (selinuxContext === undefined || selinuxContext === null || !existsSync(sign)) return [];
  return [`context="${selinuxContext}"`];
}
