/** The local disk becomes full in the middle of a write: what it took of it is nobody's data. */
import { describe, expect, test } from '@jest/globals';
import { readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { FlatFiles } from '../../lib/image/flat-files.js';
import { MNT_DETACH, mount, umount2 } from '../../lib/util/syscalls.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { ImageWorld, shut } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const KIB = 1024;
const MIB = 1024 * KIB;
/** Mounting a small file system needs root; the rest of the suite does not. */
const asRoot = process.getuid?.() === 0 ? describe : describe.skip;

/** A file system of 16 MiB in memory. */
function smallDisk(): { folder: string; fillBut: (leftBytes: number) => void; makeRoom: () => void } {
  const folder = temporaryFolder('small');
  mount('tmpfs', folder, 'tmpfs', 0, 'size=16m,mode=0700');
  undoLater(() => {
    umount2(folder, MNT_DETACH);
    return Promise.resolve();
  });
  const balloon = join(folder, 'balloon');
  return {
    folder,
    fillBut: (leftBytes) => {
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(balloon, Buffer.alloc(bavail * bsize - leftBytes, 1));
    },
    makeRoom: () => {
      rmSync(balloon);
    },
  };
}

asRoot('on a disk that becomes full', () => {
  // S23, S26
  test.each(['at once', 'behind the freeze of a commit that failed'])(
    'what a write beyond the end has left there before it failed is not seen when the disk grows %s',
    async (when) => {
      const disk = smallDisk();
      const world = await ImageWorld.open(join(disk.folder, 'world'));
      await (await world.catalogue.create('disk')).createHead();
      const head = await world.openHead('disk');
      await head.write(0, Buffer.alloc(100, 1));
      disk.fillBut(256 * KIB);
      await expect(head.write(50, Buffer.alloc(MIB, 7))).rejects.toMatchObject({ code: 'NO_SPACE' });
      expect(head.sizeBytes()).toBe(100);
      disk.makeRoom();

      if (when !== 'at once') {
        world.onCommitStep = () => {
          throw new Error('cut off');
        };
        await expect((await world.catalogue.find('disk'))!.commit({})).rejects.toThrow('cut off');
      }
      await head.write(3 * MIB, Buffer.alloc(10, 9));
      const gap = await head.read(100, 3 * MIB - 100);
      expect(gap.findIndex((byte) => byte !== 0)).toBe(-1);
      expect(await head.read(3 * MIB, 20)).toEqual(Buffer.alloc(10, 9));
      shut(head);
      await world.close();
    },
  );

  // S46
  test('a flat file of which the last piece was taken in part is no flat file', async () => {
    const disk = smallDisk();
    const folder = join(disk.folder, 'flat');
    const flats = await FlatFiles.open(folder);
    disk.fillBut(256 * KIB);
    const source = {
      contentId: 'content',
      sizeBytes: () => MIB,
      seek: (_offset: number, whence: 'data' | 'hole') => Promise.resolve(whence === 'data' ? 0 : MIB),
      read: (_offset: number, lengthBytes: number) => Promise.resolve(Buffer.alloc(lengthBytes, 5)),
    };
    await expect(flats.make(source)).rejects.toMatchObject({ code: 'NO_SPACE' });
    expect(readdirSync(folder)).toEqual([]);
    expect(await flats.hold('content', MIB)).toBeUndefined();
    await flats.close();
  });
});
