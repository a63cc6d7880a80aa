/** The frozen repositories: what version 1 has written, without and with zstd, every later version reads. */
import { describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describeImages } from '../../lib/repository/describe.js';
import { exportImage } from '../../lib/repository/export.js';
import { importImage } from '../../lib/repository/import.js';
import { openRepository } from '../../lib/repository/repository.js';
import { verifyRepository } from '../../lib/repository/verify.js';
import { DirectoryStore } from '../../lib/store/directory-store.js';
import { makeFixture, type FixtureContents } from '../tools/make-fixture.js';

const FIXTURES = [
  ['none', 'repository-v1'],
  ['zstd', 'repository-v1-zstd'],
] as const;

function openFixture(folder: string) {
  return openRepository(new DirectoryStore(join(folder, 'repository')));
}

async function checksum(folder: string, image: string, number: number): Promise<string> {
  const hash = createHash('sha256');
  const stream = new Writable({
    write(piece: Buffer, _, done) {
      hash.update(piece);
      done();
    },
  });
  await exportImage(await openFixture(folder), { image, number, target: { kind: 'stream', stream } });
  return hash.digest('hex');
}

describe.each(FIXTURES)('the repository that version 1 has written with the compression %s', (compression, name) => {
  const FIXTURE = join('tests', 'fixtures', name);
  const contents = JSON.parse(readFileSync(join(FIXTURE, 'contents.json'), 'utf8')) as FixtureContents;

  test('opens, and is the one that was written', async () => {
    expect((await openFixture(FIXTURE)).id).toBe(contents.repositoryId);
  });

  test.each(contents.snapshots.map((snapshot) => [`${snapshot.image}@${snapshot.number}`, snapshot] as const))(
    'has every byte of %s',
    async (_, { image, number, sizeBytes, allocatedBytes, label, sha256 }) => {
      const record = await (await openFixture(FIXTURE)).readRecord(image, number);
      expect(record).toMatchObject({ sizeBytes, allocatedBytes, label });
      expect(await checksum(FIXTURE, image, number)).toBe(sha256);
    },
  );

  test('lists the images, deleted numbers and locks that it had', async () => {
    const images = await describeImages(await openFixture(FIXTURE));
    const living = images.flatMap(({ image, snapshots }) => snapshots.map(({ number }) => `${image}@${number}`));
    expect(living).toEqual(contents.snapshots.map(({ image, number }) => `${image}@${number}`).sort());
    const deleted = images.flatMap(({ image, deleted: numbers }) => numbers.map((number) => ({ image, number })));
    expect(deleted).toEqual(contents.deleted);
    expect(images.filter(({ lock }) => lock !== null).map(({ image }) => image)).toEqual(contents.locked);
  });

  test('is whole', async () => {
    expect(await verifyRepository(await openFixture(FIXTURE))).toMatchObject({ damages: [], tombstones: 1 });
  });

  test('takes new snapshots', async () => {
    const folder = mkdtempSync('/var/tmp/lazydisk-fixture-');
    try {
      cpSync(FIXTURE, folder, { recursive: true });
      const path = join(folder, 'new.raw');
      const repository = await openFixture(folder);
      await exportImage(repository, { image: 'debian-12', target: { kind: 'file', path } });
      const result = await importImage(repository, { source: { kind: 'file', path }, image: 'debian-12' });
      expect(result).toMatchObject({ number: 6, uploadedBytes: 0 });
      expect(await verifyRepository(repository)).toMatchObject({ damages: [] });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('would be written with the same contents today', async () => {
    const folder = mkdtempSync('/var/tmp/lazydisk-fixture-');
    try {
      const made = await makeFixture(join(folder, 'again'), compression);
      expect(made.snapshots).toEqual(contents.snapshots);
      expect(await checksum(join(folder, 'again'), 'vm-01', 2)).toBe(await checksum(FIXTURE, 'vm-01', 2));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
