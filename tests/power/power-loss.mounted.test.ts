/**
 * The loss of power, simulated: the state directory lies on a disk that forgets whatever it may (volatile-disk.ts), the boot id
 * is another one afterwards, and every byte is looked at. Each seed is several lives of one host; a failing one can be run alone:
 * LAZYDISK_POWER_SEED=7. LAZYDISK_POWER_SEEDS says how many there are. Needs root and /dev/fuse.
 */
import { expect, test } from '@jest/globals';

import type { Disk, Head, Image } from '../../lib/image/api.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { seededRandom } from '../helpers/seeded-random.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { CHUNK, ImageWorld } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { PowerDisk } from './power-disk.js';
import { PoweredStore } from './powered-store.js';
import { SECTOR, SectorModel } from './sector-model.js';
import type { Loss } from './volatile-disk.js';

cleanUpAfter('each');

const GIVEN = process.env['LAZYDISK_POWER_SEED'];
const SEEDS =
  GIVEN === undefined
    ? Array.from({ length: Number(process.env['LAZYDISK_POWER_SEEDS'] ?? 12) }, (_, index) => index + 1)
    : [Number(GIVEN)];
const LIVES = 6;
const MAX_SECTORS = (12 * CHUNK) / SECTOR;
const FIRST_SECTORS = (4 * CHUNK) / SECTOR;
const STATE_ID = 'a'.repeat(32);

// S20, S30, S50
test.each(SEEDS)(
  'seed %i: whatever a loss of power takes, all that a sync or a commit covered is there, and nothing else ever shows',
  async (seed) => {
    const random = seededRandom(seed);
    const model = new SectorModel(MAX_SECTORS, FIRST_SECTORS);
    const memory = new MemoryStore();
    const disk = PowerDisk.start();
    let tag = 1;

    // Seeds differ in what the disk is: an image of its own, or a local clone of one.
    const isLocal = seed % 2 === 0;
    let life = await begin(disk, memory, 0);
    const made = await life.world.catalogue.create(isLocal ? 'base' : 'disk');
    await made.createHead();
    const first = await life.world.openHead(made.name);
    await first.write(0, SectorModel.bytes(tag, 0, FIRST_SECTORS));
    await made.commit({});
    if (isLocal) await life.world.catalogue.clone('base', 'disk', { local: true });
    model.write(tag, 0, FIRST_SECTORS);
    model.synced(model.mark());

    for (let boot = 1; boot <= LIVES; boot++) {
      const loss = (['any', 'any', 'oldest', 'newest'] as const)[Math.floor(random() * 4)]!;
      const lossSeed = Math.floor(random() * 2 ** 31);
      await disk.failAfter(Math.floor(random() ** 2 * 400), loss, lossSeed);
      tag = await live(life, model, random, tag);
      await life.end(loss, lossSeed);
      life = await begin(disk, memory, boot);
      const head = await headOf(life.world);
      expect(model.settle(await contentOf(head))).toBeUndefined();
    }

    // What is left can be committed, and another host reads the same.
    const image = await imageOf(life.world);
    const outcome = await image.commit({});
    const other = await ImageWorld.open(temporaryFolder('other'), {
      store: new FaultyStore(memory),
      stateId: 'b'.repeat(32),
    });
    const snapshot = await (await imageOf(other)).snapshot(outcome.number);
    expect(model.settle(await contentOf(snapshot))).toBeUndefined();
    await other.close();
    await life.world.close();
  },
);

interface Life {
  readonly world: ImageWorld;
  readonly disk: PowerDisk;
  end(loss: Loss, seed: number): Promise<void>;
}

/** The host starts, with what is on its disk. */
async function begin(disk: PowerDisk, memory: MemoryStore, boot: number): Promise<Life> {
  const store = new PoweredStore(memory, disk);
  const world = await ImageWorld.open(await disk.mount(), { store: new FaultyStore(store), stateId: STATE_ID, boot });
  const end = async (loss: Loss, seed: number): Promise<void> => {
    store.cut();
    await world.die();
    await disk.lose(loss, seed);
  };
  return { world, disk, end };
}

/** Works until the power fails, or for a while. Resolves to the number of the last write. */
async function live({ world, disk }: Life, model: SectorModel, random: () => number, lastTag: number): Promise<number> {
  const below = (limit: number): number => Math.floor(random() * limit);
  const pending: Promise<unknown>[] = [];
  let tag = lastTag;
  try {
    const head = await world.openHead('disk');
    const image = await imageOf(world);
    for (let step = 10 + below(40); step > 0 && !(await disk.hasFailed()); step--) {
      const start = below(Math.min(MAX_SECTORS - 1, model.sizeSectors + 64));
      const count = Math.min(1 + below(random() < 0.2 ? 300 : 24), MAX_SECTORS - start);
      const choice = random();
      if (choice < 0.5) {
        model.write(++tag, start, count);
        if (start + count > model.sizeSectors) model.resize(start + count);
        await head.write(start * SECTOR, SectorModel.bytes(tag, start, count));
      } else if (choice < 0.6) {
        const end = Math.min(start + count, model.sizeSectors);
        if (end > start) model.write(0, start, end - start);
        await head.punch(start * SECTOR, count * SECTOR);
      } else if (choice < 0.65) {
        model.resize(start);
        await head.truncate(start * SECTOR);
      } else {
        await Promise.all(pending.splice(0));
        const mark = model.mark();
        const sync = async (): Promise<void> => {
          await (choice < 0.9 ? head.fsync() : image.commit({}));
          // It counts when it has returned before the power failed.
          if (!(await disk.hasFailed())) model.synced(mark);
        };
        const syncing = sync();
        // Some go on while others write.
        if (random() < 0.5 || choice >= 0.9) await syncing;
        else pending.push(syncing.catch(() => undefined));
      }
    }
  } catch (error) {
    if (!(await disk.hasFailed())) throw error;
  }
  await Promise.all(pending);
  return tag;
}

async function imageOf(world: ImageWorld): Promise<Image> {
  return (await world.catalogue.find('disk'))!;
}

async function headOf(world: ImageWorld): Promise<Head> {
  return (await (await imageOf(world)).head())!;
}

async function contentOf(disk: Disk): Promise<Buffer> {
  return Buffer.from(await disk.read(0, disk.sizeBytes()));
}
