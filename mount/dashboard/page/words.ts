/** What the page calls things, in one place. */
import type { ChunkState } from '../../../lib/image/picture-cells.js';

export const STATE_LABELS: Readonly<Record<ChunkState, string>> = {
  zero: 'zeros',
  unknown: 'not looked up yet',
  remote: 'in the store',
  local: 'on this host',
  frozen: 'in a commit',
  dirty: 'written, not committed',
  fetching: 'on its way',
};
