import { describe, expect, it } from '@jest/globals';
import { MemoryStore } from '../../lib/store/memory-store.js';
import type { CallOptions } from '../../lib/store/object-store.js';
import {
  exclusivePutHasOneWinner,
  exclusivePutRefusesExisting,
  objectStoreSuite,
} from '../suites/object-store.suite.js';

objectStoreSuite('the memory store', async () => ({ store: new MemoryStore() }));

/** As some S3 servers do. */
class StoreWithoutIfNoneMatch extends MemoryStore {
  override put(key: string, bytes: Uint8Array, options: CallOptions = {}): Promise<void> {
    return super.put(key, bytes, { signal: options.signal });
  }
}

describe('a store that ignores If-None-Match', () => {
  it('fails the check of racing creators', async () => {
    const store = new StoreWithoutIfNoneMatch();
    await expect(exclusivePutHasOneWinner({ store, other: store, area: 'a/' })).rejects.toThrow('32 racers created');
  });

  it('fails the check of creating what is there', async () => {
    const store = new StoreWithoutIfNoneMatch();
    await expect(exclusivePutRefusesExisting({ store, other: store, area: 'a/' })).rejects.toThrow(
      'EXISTS was expected',
    );
  });
});
