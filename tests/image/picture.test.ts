/** Pictures of images: which state a chunk is in, what a cell shows of many, and that taking one changes nothing. */
import { expect, test } from '@jest/globals';

import { CHUNK_STATES, SHARE_SHIFT } from '../../lib/image/picture-cells.js';
import { chunksPerCell, orderCells, takePicture } from '../../lib/image/picture.js';
import type { ImagePicture, PictureSubject } from '../../lib/image/picture.js';
import { DATA, NO_CUT, STATES_PER_FLAG, ZERO } from '../../lib/image/plane.js';
import { FIRST_SLOT, SLOT_UNKNOWN, SLOT_ZERO } from '../../lib/mirror/api.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { CHUNK, ImageWorld, shut } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

const BLOCKS = CHUNK / 4096;

/** A layer with some blocks in a state. */
function layer(blocks: Readonly<Record<number, number>>, cutBlock = NO_CUT): PictureSubject['layers'][number] {
  const states = new Uint8Array(new SharedArrayBuffer(4 * STATES_PER_FLAG));
  const touched = new Uint8Array(new SharedArrayBuffer(4));
  for (const [block, state] of Object.entries(blocks)) {
    states[Number(block)] = state;
    touched[Math.floor(Number(block) / STATES_PER_FLAG)] = 1;
  }
  return { states, touched, cutBlock };
}

function subject(words: readonly number[], more: Partial<PictureSubject> = {}): PictureSubject {
  return {
    sizeBytes: words.length * CHUNK,
    chunkSizeBytes: CHUNK,
    words: Int32Array.from(words),
    loadedLeaves: [0],
    fetching: [],
    layers: [],
    ...more,
  };
}

function allBlocksOf(chunk: number, state: number): Record<number, number> {
  return Object.fromEntries(Array.from({ length: BLOCKS }, (_, index) => [chunk * BLOCKS + index, state]));
}

function statesOf({ cells }: ImagePicture): string[] {
  return [...cells].map((cell) => CHUNK_STATES[cell & ((1 << SHARE_SHIFT) - 1)]!);
}

test('a chunk of the base is zero, remote, local or, before its leaf was looked up, unknown', async () => {
  const words = [SLOT_ZERO, SLOT_UNKNOWN, FIRST_SLOT, FIRST_SLOT + 7];
  expect(statesOf(await takePicture(subject(words), 16))).toEqual(['zero', 'remote', 'local', 'local']);
  const unseen = await takePicture(subject(words, { loadedLeaves: [] }), 16);
  expect(statesOf(unseen)).toEqual(['zero', 'unknown', 'local', 'local']);
});

test('the disk may be longer than its base, or have none', async () => {
  const longer = await takePicture(subject([FIRST_SLOT], { sizeBytes: 2 * CHUNK + 1 }), 16);
  expect(statesOf(longer)).toEqual(['local', 'zero', 'zero']);
  expect(statesOf(await takePicture(subject([0, 0], { words: null }), 16))).toEqual(['zero', 'zero']);
});

test('what was written is dirty in the newest layer and frozen below it; the newest that has a chunk decides', async () => {
  const frozen = layer({ 0: DATA, [BLOCKS + 3]: DATA, ...allBlocksOf(2, DATA) });
  const top = layer({ [BLOCKS]: DATA, ...allBlocksOf(2, ZERO), [3 * BLOCKS + 1]: ZERO });
  const picture = await takePicture(subject(Array(4).fill(FIRST_SLOT) as number[], { layers: [frozen, top] }), 16);
  expect(statesOf(picture)).toEqual(['frozen', 'dirty', 'zero', 'local']);
  expect(picture.counts).toEqual({ zero: 1, unknown: 0, remote: 0, local: 1, frozen: 1, dirty: 1, fetching: 0 });
});

test('from the cut of a layer on nothing below shows', async () => {
  const picture = await takePicture(subject([2, 2, 2], { layers: [layer({ [2 * BLOCKS]: DATA }, BLOCKS)] }), 16);
  expect(statesOf(picture)).toEqual(['local', 'zero', 'dirty']);
});

test('a chunk that travels shows that, whatever else is known of it', async () => {
  const picture = await takePicture(subject([0, 2], { fetching: [0], layers: [layer({ 0: DATA })] }), 16);
  expect(statesOf(picture)).toEqual(['fetching', 'local']);
});

test('a cell of many chunks shows the state that matters most, and its share of what is not zero', async () => {
  const words = Array(32).fill(SLOT_UNKNOWN) as number[];
  words.fill(FIRST_SLOT, 0, 3).fill(SLOT_ZERO, 4, 8);
  const { cells, chunksPerCell: perCell, counts } = await takePicture(subject(words), 4);
  expect(perCell).toBe(8);
  const [local, remote] = [CHUNK_STATES.indexOf('local'), CHUNK_STATES.indexOf('remote')];
  // Three of four, that is six of eight; then all.
  expect([...cells]).toEqual([local | (5 << SHARE_SHIFT), ...Array(3).fill(remote | (7 << SHARE_SHIFT))]);
  expect(counts).toMatchObject({ local: 3, remote: 25, zero: 4 });
});

test('an image of any size has at most as many cells as asked for', async () => {
  expect(chunksPerCell(8192, 8192)).toBe(1);
  expect(chunksPerCell(8193, 8192)).toBe(2);
  const long = await takePicture(subject([], { sizeBytes: 100_000 * CHUNK }), 512);
  expect(long.cells.length).toBe(Math.ceil(100_000 / long.chunksPerCell));
  expect(long.cells.length).toBeLessThanOrEqual(512);
});

test('a picture that nobody wants any more ends with the reason', async () => {
  const gone = AbortSignal.abort(new Error('gone'));
  await expect(takePicture(subject([], { sizeBytes: 100_000 * CHUNK }), 512, gone)).rejects.toThrow('gone');
});

test('the order of first reads is 1 to 255, and of chunks in one cell the earliest counts', () => {
  expect([...orderCells([5, 0, 4, 1], { chunks: 8, chunksPerCell: 2 })]).toEqual([85, 0, 1, 0]);
  expect([...orderCells([9, 7], { chunks: 8, chunksPerCell: 1 })]).toEqual([0, 0, 0, 0, 0, 0, 0, 255]);
  expect([...orderCells([], { chunks: 2, chunksPerCell: 1 })]).toEqual([0, 0]);
});

/** A host that has nothing of the image `disk` of four chunks, the last one zero. */
async function freshHost(options: { readOnly?: boolean } = {}): Promise<ImageWorld> {
  const maker = await ImageWorld.open(temporaryFolder('maker'), { store: new FaultyStore(new MemoryStore()) });
  await (await maker.catalogue.create('disk')).createHead();
  const head = await maker.openHead('disk');
  await head.write(0, Buffer.alloc(3 * CHUNK, 'data'));
  await head.truncate(4 * CHUNK);
  await (await maker.catalogue.find('disk'))!.commit({});
  shut(head);
  await maker.close();
  return ImageWorld.open(temporaryFolder('host'), { store: maker.store, stateId: 'b'.repeat(32), ...options });
}

test('a picture follows a real image through look-up, read, write and commit', async () => {
  const world = await freshHost();
  const view = (await world.catalogue.view('disk'))!;
  const states = async (): Promise<string[]> => statesOf((await view.picture(64))!);
  expect(await states()).toEqual(['unknown', 'unknown', 'unknown', 'unknown']);
  await view.lookUp();
  expect(await states()).toEqual(['remote', 'remote', 'remote', 'zero']);
  const head = await world.openHead('disk');
  await head.read(CHUNK, 1);
  expect(await states()).toEqual(['remote', 'local', 'remote', 'zero']);
  await head.write(0, Buffer.alloc(4096, 1));
  expect(await states()).toEqual(['dirty', 'local', 'remote', 'zero']);
  expect(view.glance()).toMatchObject({ dirtyBytes: 4096, openCount: 1, localBytes: CHUNK, baseNumber: 1 });
  const seen: string[][] = [];
  const looks: Promise<unknown>[] = [];
  world.onCommitStep = () => looks.push(states().then((now) => seen.push(now)));
  await (await world.catalogue.find('disk'))!.commit({});
  await Promise.all(looks);
  expect(seen[0]).toContain('frozen');
  expect(await states()).not.toContain('dirty');
  expect(view.glance()).toMatchObject({ dirtyBytes: 0, baseNumber: 2, committing: false, upload: null });
  shut(head);
  await world.close();
});

test('a chunk on its way is seen as such', async () => {
  const world = await freshHost();
  const view = (await world.catalogue.view('disk'))!;
  await view.lookUp();
  world.store.inject({ kind: 'stall' }, { operation: 'get' });
  const reading = (await world.openHead('disk')).read(0, 1);
  await waitFor('the chunk is on its way', async () => statesOf((await view.picture(64))!)[0] === 'fetching');
  world.store.releaseStalled();
  await reading;
  expect(statesOf((await view.picture(64))!)[0]).toBe('local');
  await world.close();
});

test('a commit says how far its upload is', async () => {
  const world = await freshHost();
  const view = (await world.catalogue.view('disk'))!;
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(2 * CHUNK, 'new'));
  world.store.inject({ kind: 'stall' }, { operation: 'put', key: /^segments/ });
  const committing = (await world.catalogue.find('disk'))!.commit({});
  await world.store.until(() => world.store.stalledCalls > 0);
  await waitFor('all chunks were handed on', () => view.glance()?.upload?.doneChunks === 2);
  expect(view.glance()).toMatchObject({ committing: true, upload: { doneChunks: 2, totalChunks: 2 } });
  world.store.releaseStalled();
  await committing;
  expect(view.glance()).toMatchObject({ committing: false, upload: null });
  shut(head);
  await world.close();
});

test('looking at what is in memory asks the store for nothing', async () => {
  const world = await freshHost();
  const view = (await world.catalogue.view('disk'))!;
  await view.lookUp();
  const before = world.store.calls.length;
  await view.picture(64);
  view.glance();
  world.catalogue.glances();
  expect(world.store.calls.length).toBe(before);
  await world.close();
});

test('first reads are told in their order', async () => {
  const world = await freshHost();
  const view = (await world.catalogue.view('disk'))!;
  const head = await world.openHead('disk');
  await head.read(2 * CHUNK, 1);
  await head.read(0, 1);
  const { touched, profile } = (await view.firstReads(64))!;
  expect([...touched.cells]).toEqual([255, 0, 1, 0]);
  expect(touched.chunks).toBe(2);
  expect(profile.chunks).toBe(0);
  shut(head);
  await world.close();
});

test('of a read-only mount the newest snapshot is looked at', async () => {
  const world = await freshHost({ readOnly: true });
  const view = (await world.catalogue.view('disk'))!;
  expect(await view.picture(64)).toBeNull();
  await view.lookUp();
  expect(statesOf((await view.picture(64))!)).toEqual(['remote', 'remote', 'remote', 'zero']);
  expect(world.catalogue.glances()).toMatchObject([{ image: 'disk', baseNumber: 1 }]);
  await world.close();
});
