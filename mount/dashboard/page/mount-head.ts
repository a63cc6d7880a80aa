/** The bar at the top: which mount this is, how much the cache holds, and whether the store answers. */
import type { MountMessage } from '../protocol.js';
import { element, make, setText } from './dom.js';
import { bytes } from './format.js';

const HEALTH: Readonly<Record<MountMessage['health'], string>> = {
  ok: 'All well',
  degraded: 'An image has failed',
  offline: 'The store does not answer',
};

export function showMountHead({ repository, mountpoint, health, localBytes, quotaBytes }: MountMessage): void {
  document.title = `${mountpoint} \u2013 lazydisk`;
  const where = element('where');
  if (where.dataset['told'] !== mountpoint) where.replaceChildren(make('b', {}, mountpoint), ` \u2190 ${repository}`);
  where.dataset['told'] = mountpoint;
  setText(element('cache'), `cache ${bytes(localBytes)}${quotaBytes === null ? '' : ` of ${bytes(quotaBytes)}`}`);
  const pill = element('health');
  pill.dataset['health'] = health;
  setText(pill, HEALTH[health]);
}
