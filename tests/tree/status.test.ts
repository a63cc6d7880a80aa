import { describe, expect, test } from '@jest/globals';
import { mountStatus, type StatusSources } from '../../mount/tree/status.js';
import type { ImageStatusDocument, MountStatus } from '../../mount/tree/status-schema.js';
import { FakeCatalogue } from '../helpers/fake-catalogue.js';
import { caller, mirrorStatistics, readAll, treeFixture } from '../helpers/tree-fixture.js';

describe('status', () => {
  // S42: the schema.
  test('the file of the mount shows the mount, the counters and every image', async () => {
    const fixture = await treeFixture();
    const image = fixture.catalogue.image('vm');
    image.publish(Buffer.from('boot'));
    fixture.catalogue.image('another');
    const head = (await image.head())!;
    await head.openForWriting();
    await head.write(0, Buffer.from('dirty'));
    const status = JSON.parse(await fixture.cat('status')) as MountStatus;
    expect(status).toEqual(JSON.parse(JSON.stringify(await fixture.tree.status())));
    expect(status).toMatchObject({
      schemaVersion: 1,
      health: 'ok',
      repository: 'file:///images',
      daemonPid: 7,
      driver: 'kernel',
      readOnly: false,
      localBytes: 1000,
      quotaBytes: null,
      dirtyBytes: 5,
      oldestUncommittedMs: head.modifiedMs(),
      fetchedBytes: 500,
      fetchedBytesByPriority: { demand: 300, readahead: 100, prefetch: 60, eager: 0, fill: 40 },
      hedges: 2,
      hedgesWon: 1,
      hits: 100,
      misses: 3,
      waitingReads: 8,
      waitingFetches: 4,
      storeRequests: 9,
      storeErrors: 2,
      lastStoreError: { message: 'slow down', timeMs: 5 },
      runningCommands: 0,
      unknownImages: [],
      imagesListed: true,
    });
    expect(status.images.map((one) => one.image)).toEqual(['another', 'vm']);
  });

  test('the file of an image shows that image', async () => {
    const fixture = await treeFixture();
    fixture.catalogue.image('vm').publish(Buffer.from('boot'));
    const status = JSON.parse(await fixture.cat('vm/status')) as ImageStatusDocument;
    expect(status).toMatchObject({ schemaVersion: 1, image: 'vm', sizeBytes: 4, baseNumber: 1, lockIsOurs: false });
    expect(status).toEqual(await fixture.tree.imageStatus('vm'));
    await expect(fixture.tree.imageStatus('nobody')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('every name of a field is camelCase', async () => {
    const fixture = await treeFixture();
    fixture.catalogue.image('vm').publish(Buffer.from('boot'));
    const names = (value: unknown): string[] =>
      typeof value !== 'object' || value === null
        ? []
        : Object.entries(value).flatMap(([key, inner]) =>
            Array.isArray(value) ? names(inner) : [key, ...names(inner)],
          );
    for (const name of names(await fixture.tree.status())) expect(name).toMatch(/^[a-z][A-Za-z0-9]*$/);
  });

  test('a text is made at the first read and stays for that descriptor', async () => {
    const fixture = await treeFixture();
    const file = await fixture.node('status');
    const { handle } = await fixture.fileSystem.open(file, { write: false, truncate: false }, caller());
    const first = await fixture.fileSystem.read(file, handle, 0, 10, caller());
    fixture.catalogue.currentHealth = 'offline';
    const rest = await readAll(fixture.fileSystem, file, handle, 10);
    expect((JSON.parse(Buffer.from(first).toString() + rest) as MountStatus).health).toBe('ok');
    expect((JSON.parse(await readAll(fixture.fileSystem, file, handle)) as MountStatus).health).toBe('offline');
  });

  // S43: a status always answers.
  describe('when the store does not answer', () => {
    const sources = (catalogue: FakeCatalogue): StatusSources => ({
      catalogue,
      mirror: () => ({ ...mirrorStatistics, localBytes: 1 }),
      driver: () => ({
        workers: 4,
        threads: 4,
        localReads: 0,
        localReadBytes: 0,
        localWrites: 0,
        localWriteBytes: 0,
        forwarded: 0,
        waitingReads: 0,
      }),
      longestReadMs: () => 0,
      store: () => ({ requests: 0, errors: 0, lastError: null, lastAnswerMs: null }),
      running: () => [],
      identity: {
        repositoryId: 'id',
        repository: 's3://bucket',
        mountpoint: '/mnt',
        stateDirectory: '/state',
        driver: 'kernel',
        daemonPid: 1,
        readOnly: false,
      },
      startedMs: 0,
    });

    test('images that fail or hang are named, the others shown', async () => {
      const catalogue = new FakeCatalogue();
      for (const name of ['fine', 'failing', 'hanging']) catalogue.image(name);
      catalogue.unreachable.add('failing');
      catalogue.image('hanging').status = () => new Promise(() => undefined);
      const status = await mountStatus(sources(catalogue), 20);
      expect(status.images.map((one) => one.image)).toEqual(['fine']);
      expect(status.unknownImages).toEqual(['failing', 'hanging']);
      expect(status.imagesListed).toBe(true);
    });

    test('a listing that hangs leaves the rest of the status', async () => {
      const catalogue = new FakeCatalogue();
      catalogue.names = () => new Promise(() => undefined);
      const head = await catalogue.image('vm').createHead();
      await head.openForWriting();
      await head.write(0, Buffer.from('dirty'));
      const status = await mountStatus(sources(catalogue), 20);
      expect(status).toMatchObject({ imagesListed: false, images: [], unknownImages: [], localBytes: 1 });
      const told = { dirtyBytes: 5, oldestUncommittedMs: catalogue.image('vm').usage()!.oldestUncommittedMs };
      expect(status).toMatchObject(told);
    });
  });
});
