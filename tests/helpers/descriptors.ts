import { readdirSync, readlinkSync } from 'node:fs';

/**
 * Where the descriptors of this process that lie in a folder point to, removed files included. A number alone says nothing: other
 * threads of this process open and close theirs all the time, and take a number that was given back.
 */
export function descriptorsUnder(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${descriptor}`);
      return target.startsWith(directory) ? [target] : [];
    } catch {
      return []; // closed meanwhile
    }
  });
}
