/** The images whose heads this host has, told without the store. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Catalogue, HeadUsage } from '../../lib/image/api.js';

export interface HeldImage extends HeadUsage {
  readonly image: string;
}

/** Ascending by name. Counting the blocks of a head takes a millisecond or more: guests have a turn after each. */
export async function heldImages(catalogue: Pick<Catalogue, 'held'>): Promise<HeldImage[]> {
  const held: HeldImage[] = [];
  for (const image of catalogue.held()) {
    const usage = image.usage();
    if (usage !== undefined) held.push({ image: image.name, ...usage });
    await turn();
  }
  return held;
}
