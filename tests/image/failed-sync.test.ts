/** What the local disk has failed to keep stays failed for whoever had the disk open, whichever daemon serves him. */
import { afterEach, expect, jest, test } from '@jest/globals';

import { Layer } from '../../lib/image/layer.js';
import type { LocalHead } from '../../lib/image/head.js';
import { silentLog } from '../../lib/util/log.js';
import { OpenDisks } from '../../mount/tree/open-disks.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { CHUNK, codeOf, ImageWorld, shut, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

afterEach(() => {
  jest.restoreAllMocks();
});

const NODE = 7;
const { signal } = new AbortController();

/** A host on which an fsync got EIO from the disk, which says so once, and whose daemon then died. */
async function hostWhoseSyncHasFailed(): Promise<ImageWorld> {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(CHUNK, 2));
  const failed = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO', syscall: 'fdatasync' });
  jest.spyOn(Layer.prototype, 'syncData').mockRejectedValueOnce(failed);
  expect(await codeOf(head.fsync())).toBe('IO');
  expect((await headOf(world)).record.failedSync).toContain('EIO');
  return world;
}

async function headOf(world: ImageWorld): Promise<LocalHead> {
  return (await (await world.catalogue.find('disk'))!.head()) as LocalHead;
}

// S21
test.each(['counted at the start', 'found by a request'])(
  'a descriptor of before a takeover, %s, gets EIO for ever; a new open begins anew, also for the daemons after it',
  async (how) => {
    const world = await hostWhoseSyncHasFailed();
    for (let takeover = 0; takeover < 2; takeover++) {
      await world.crash();
      const head = await headOf(world);
      const disks = new OpenDisks(silentLog);
      if (how === 'counted at the start') await disks.open(NODE, head, 'write', signal, 'earlier');
      const served = (await disks.use(NODE, 'write', () => Promise.resolve(head))) as LocalHead;
      expect(await codeOf(served.fsync())).toBe('IO');
      expect(await codeOf(served.write(0, Buffer.alloc(CHUNK, 3)))).toBe('IO');
      expect(await codeOf(served.read(0, 1))).toBe('IO');
    }
    await world.crash();
    const disks = new OpenDisks(silentLog);
    const opened = (await disks.open(NODE, await headOf(world), 'write', signal)) as LocalHead;
    await opened.fsync();
    expect(await opened.read(0, 1)).toEqual(Buffer.of(2));
    await world.crash();
    const again = await headOf(world);
    await new OpenDisks(silentLog).open(NODE, again, 'write', signal, 'earlier');
    await again.fsync();
    await world.close();
  },
);

// S21
test('after another boot nothing has failed: what is there is what the disk has', async () => {
  const world = await hostWhoseSyncHasFailed();
  await world.crash({ newBoot: true });
  const head = await headOf(world);
  expect(head.record.failedSync).toBeNull();
  await head.openForWriting(undefined, 'earlier');
  head.opened('earlier');
  await head.fsync();
  shut(head);
  await world.close();
});

// S21
test('a head that is opened anew after a failed sync has not failed for the daemon after it', async () => {
  const world = await hostWhoseSyncHasFailed();
  const head = await headOf(world);
  shut(head);
  await world.openHead('disk');
  await head.fsync();
  await world.crash();
  expect((await headOf(world)).record.failedSync).toBeNull();
  await world.close();
});
