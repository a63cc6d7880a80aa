import { expect, test } from '@jest/globals';

import { SpaceLimit } from '../../lib/mirror/space-limit.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

test('two who ask at once at the start get the same limit, not none', async () => {
  const limit = new SpaceLimit(temporaryFolder('limit'), null);
  const [first, second] = await Promise.all([limit.current(0), limit.current(0)]);
  expect(first).toBeGreaterThan(0);
  expect(second).toBe(first);
});
