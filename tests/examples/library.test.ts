import { describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { listImages, writeToImage } from '../../examples/library.js';
import {
  importImage,
  initRepository,
  MemoryStore,
  openRepository,
  openStore,
  parseLocation,
  randomId,
} from '../../lib/index.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { makeSparseFile } from '../helpers/contents.js';
import { temporaryFolder } from '../helpers/temporary.js';

const MIB = 1024 * 1024;

describe('the library examples', () => {
  cleanUpAfter('each');

  test('list, and write an image and commit it, without a mount', async () => {
    const folder = temporaryFolder('library');
    const url = `file://${join(folder, 'repository')}`;
    const original = join(folder, 'original.raw');
    await makeSparseFile(original, 4 * MIB, [{ offset: 0, lengthBytes: MIB }]);
    const store = await openStore(parseLocation(url));
    await initRepository(store, {});
    const repository = await openRepository(store);
    await importImage(repository, { source: { kind: 'file', path: original }, image: 'base', label: 'first' });
    await store.close();
    expect(await listImages(url)).toEqual([`base@1 ${String(4 * MIB)} first`]);

    const state = { stateDirectory: join(folder, 'state'), stateId: randomId(), bootId: 'test' };
    const outcome = await writeToImage(url, 'base', { offset: 5000, bytes: Buffer.from('hello') }, state);
    expect(outcome).toMatchObject({ number: 2, changed: true });
    expect(await listImages(url)).toHaveLength(2);
  });

  test('a store of a program serves as well', async () => {
    const { repository } = await initRepository(new MemoryStore(), {});
    expect(await repository.imageNames()).toEqual([]);
  });
});
