/**
 * A process that is killed (SIGKILL) at any step of a commit, an import, a clone, a deletion or a collection leaves the old state
 * or the new one, and trying again finishes. The steps: each request that changes the store, before it and after it, and the named steps of a
 * commit, where the state on this host changes.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { randomId } from '../../lib/format/checksums.js';
import type { CommitStep } from '../../lib/image/commit.js';
import type { Repository } from '../../lib/repository/api.js';
import { streamChunks } from '../../lib/repository/chunk-stream.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { collectRepository } from '../../lib/repository/collection.js';
import { openRepository } from '../../lib/repository/repository.js';
import { verifyRepository } from '../../lib/repository/verify.js';
import { parseLocation } from '../../lib/store/location.js';
import type { ObjectStore } from '../../lib/store/object-store.js';
import { openStore } from '../../lib/store/open-store.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { compileLib } from '../helpers/compiled-lib.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { CHUNK, codeOf, ImageWorld, shut, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const SCRIPT = fileURLToPath(new URL('./killed-at-a-step.mjs', import.meta.url));
const OLD = 1;
const NEW = 2;
const CHUNKS = 4;
const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

let library: string;
beforeAll(async () => {
  library = await compileLib();
});
afterAll(async () => {
  await rm(library, { recursive: true, force: true });
});

/** A repository with disk@1 and its clone other@1, and a host whose disk.raw has an uncommitted change of every chunk. */
class Place {
  readonly repositoryFolder = temporaryFolder('steps-repository');
  readonly stateFolder = temporaryFolder('steps-state');

  async prepare(): Promise<void> {
    const world = await this.openWorld();
    await withImage(world, OLD, CHUNKS);
    const head = await world.openHead('disk');
    await head.write(0, Buffer.alloc(CHUNKS * CHUNK, NEW));
    shut(head);
    await cloneSnapshot(world.repository, { from: 'disk', number: 1, to: 'other', writerId: randomId() });
    await world.close();
    await writeFile(join(this.stateFolder, 'disk.raw'), Buffer.alloc(CHUNKS * CHUNK, NEW));
  }

  async openWorld(): Promise<ImageWorld> {
    return ImageWorld.open(this.stateFolder, { store: new FaultyStore(await this.store()) });
  }

  /** All that is in the store becomes a day older: ages are told by its own times. */
  async aDayPasses(): Promise<void> {
    for (const entry of await readdir(this.repositoryFolder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const thenMs = (await stat(path)).mtimeMs - DAY_MS;
      await utimes(path, thenMs / 1000, thenMs / 1000);
    }
  }

  store(): Promise<ObjectStore> {
    return openStore(parseLocation(`file://${this.repositoryFolder}`));
  }

  async repository(): Promise<Repository> {
    return openRepository(await this.store());
  }

  /** Whether the work was done before the step came. */
  async run(work: string, killAt: string): Promise<boolean> {
    const child = spawn(process.execPath, [SCRIPT, library, this.repositoryFolder, this.stateFolder, work, killAt], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await once(child, 'exit');
    if (child.signalCode === null)
      expect({ work, killAt, status: child.exitCode }).toEqual({ work, killAt, status: 0 });
    else expect({ work, killAt, signal: child.signalCode }).toEqual({ work, killAt, signal: 'SIGKILL' });
    return child.signalCode === null;
  }
}

/** Runs `look` after a kill at each step of the work; resolves to how many steps there were. */
async function killAtEachStep(
  work: string,
  names: readonly string[],
  look: (place: Place, killAt: string) => Promise<void>,
  prepare: (place: Place) => Promise<void> = () => Promise.resolve(),
): Promise<number> {
  const template = new Place();
  await template.prepare();
  await prepare(template);
  const place = async (): Promise<Place> => {
    const copy = new Place();
    await cp(template.repositoryFolder, copy.repositoryFolder, { recursive: true, preserveTimestamps: true });
    await cp(template.stateFolder, copy.stateFolder, { recursive: true });
    return copy;
  };
  for (const name of names) {
    const killed = await place();
    expect({ name, isDone: await killed.run(work, name) }).toEqual({ name, isDone: false });
    await look(killed, name);
  }
  for (let request = 1; ; request++) {
    for (const when of ['before', 'after']) {
      const killed = await place();
      const killAt = `${when} ${request}`;
      const isDone = await killed.run(work, killAt);
      await look(killed, killAt);
      if (isDone) return request - 1;
    }
  }
}

/** What each chunk of a snapshot is full of; NaN where it is anything else. */
async function fillsOf(repository: Repository, image: string, number: number): Promise<number[]> {
  const record = await repository.readRecord(image, number);
  const fills: number[] = [];
  for await (const { bytes } of streamChunks(repository.store, repository.trees(), record)) {
    fills.push(Buffer.alloc(CHUNK, bytes[0]).equals(bytes) ? bytes[0]! : NaN);
  }
  return fills;
}

/** Living snapshots of an image, each whole, and what they are full of; nothing in the repository is damaged. */
async function snapshotsOf(place: Place, image: string): Promise<Record<number, number>> {
  const repository = await place.repository();
  const found: Record<number, number> = {};
  for (const { number } of (await repository.listImage(image)).snapshots) {
    const fills = await fillsOf(repository, image, number);
    expect(fills).toEqual(Array(CHUNKS).fill(fills[0]));
    found[number] = fills[0]!;
  }
  expect((await verifyRepository(repository)).damages).toEqual([]);
  return found;
}

// S19, S28, S30
test('a commit: the disk keeps its writes, the snapshot is there or not, and the next commit makes it once', async () => {
  const steps: CommitStep[] = ['frozen', 'uploaded', 'published', 'adopted'];
  const requests = await killAtEachStep('commit', steps, async (place, killAt) => {
    const left = await snapshotsOf(place, 'disk');
    expect([{ 1: OLD }, { 1: OLD, 2: NEW }]).toContainEqual(left);
    const world = await place.openWorld();
    const head = await world.openHead('disk');
    const all = await head.read(0, CHUNKS * CHUNK);
    expect({ killAt, isKept: Buffer.alloc(CHUNKS * CHUNK, NEW).equals(all) }).toEqual({ killAt, isKept: true });
    await (await world.catalogue.find('disk'))!.commit({});
    expect(head.isDirty()).toBe(false);
    shut(head);
    await world.close();
    expect({ killAt, ...(await snapshotsOf(place, 'disk')) }).toEqual({ killAt, 1: OLD, 2: NEW });
  });
  expect(requests).toBeGreaterThanOrEqual(4); // chunks, nodes, record, lock
});

test('an import: the image is whole or not there, and the next import makes one', async () => {
  const requests = await killAtEachStep('import', [], async (place) => {
    const left = await snapshotsOf(place, 'imported');
    expect([{}, { 1: NEW }]).toContainEqual(left);
    await place.run('import', 'nowhere');
    const number = 1 + Object.keys(left).length;
    expect(await snapshotsOf(place, 'imported')).toEqual({ ...left, [number]: NEW });
  });
  expect(requests).toBeGreaterThanOrEqual(3); // chunks, nodes, record
});

test('a clone: it is whole or not there; who tries again gets it, or is told that it is there', async () => {
  const requests = await killAtEachStep('clone', [], async (place) => {
    const left = await snapshotsOf(place, 'clone');
    const clone = cloneSnapshot(await place.repository(), {
      from: 'disk',
      number: 1,
      to: 'clone',
      writerId: randomId(),
    });
    expect(await codeOf(clone)).toBe('1' in left ? 'EXISTS' : 'undefined');
    expect(await snapshotsOf(place, 'clone')).toEqual({ 1: OLD });
  });
  expect(requests).toBeGreaterThanOrEqual(1);
});

test('a deletion: the snapshot is whole or gone, trying again ends it, and its number stays used', async () => {
  const requests = await killAtEachStep('delete', [], async (place) => {
    expect([{}, { 1: OLD }]).toContainEqual(await snapshotsOf(place, 'other'));
    const repository = await place.repository();
    await repository.deleteSnapshot('other', 1);
    expect(await snapshotsOf(place, 'other')).toEqual({});
    expect(await repository.listImage('other')).toMatchObject({ deleted: [1], nextNumber: 2 });
    expect(await snapshotsOf(place, 'disk')).toEqual({ 1: OLD });
  });
  expect(requests).toBe(2); // tombstone, record
});

// S54
test('a collection: what lives is whole, and the next ones give back all that is dead', async () => {
  const requests = await killAtEachStep(
    'collect',
    [],
    async (place) => {
      expect(await snapshotsOf(place, 'disk')).toEqual({ 1: OLD });
      expect(await snapshotsOf(place, 'other')).toEqual({ 1: OLD });
      const repository = await place.repository();
      for (let run = 0; run < 3; run++) {
        await collectRepository(repository, { graceMs: HOUR_MS });
        await place.aDayPasses();
      }
      expect((await verifyRepository(repository)).unreferencedSegments).toBe(0);
      const left = (await repository.store.list('')).objects.map(({ key }) => key);
      expect(left.filter((key) => /^(condemned|clock)/.test(key))).toEqual([]);
      expect(await snapshotsOf(place, 'disk')).toEqual({ 1: OLD });
    },
    // Something of everything that a collection does: to be removed, to be condemned, a tombstone to be finalised.
    async (place) => {
      await place.run('import', 'nowhere');
      const repository = await place.repository();
      await repository.deleteSnapshot('imported', 1);
      await place.aDayPasses();
      expect(await collectRepository(repository, { graceMs: HOUR_MS })).toMatchObject({ condemned: { segments: 2 } });
      await place.run('import', 'nowhere');
      await repository.deleteSnapshot('imported', 2);
      await place.aDayPasses();
    },
  );
  expect(requests).toBeGreaterThanOrEqual(7); // the time (2), tombstone, list, two segments, the list of before
});
