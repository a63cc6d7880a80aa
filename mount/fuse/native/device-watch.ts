/**
 * When libfuse has stopped serving. The package does not tell, but libfuse closes its descriptor of /dev/fuse as the last
 * thing, whoever ended the mount: so the descriptor is found after the mount, and looked at now and then.
 */
import { readdirSync, readlinkSync } from 'node:fs';

const DEVICE = '/dev/fuse';
const DESCRIPTORS = '/proc/self/fd';
const LOOK_MS = 100;

/** The descriptors of /dev/fuse that this process has open. */
export function fuseDescriptors(): Set<number> {
  return new Set(readdirSync(DESCRIPTORS).map(Number).filter(isFuse));
}

/** Resolves when the descriptor is not one of /dev/fuse any more. */
export function whenClosed(descriptor: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (isFuse(descriptor)) return;
      clearInterval(timer);
      resolve();
    }, LOOK_MS);
  });
}

function isFuse(descriptor: number): boolean {
  try {
    return readlinkSync(`${DESCRIPTORS}/${String(descriptor)}`) === DEVICE;
  } catch {
    return false;
  }
}
