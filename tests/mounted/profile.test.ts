/** Boot profiles and hydration as a user sees them. */
import { describe, expect, test } from '@jest/globals';
import { open } from 'node:fs/promises';
import type { BootProfile } from '../../lib/format/profile.js';
import { profileBytes } from '../../lib/image/boot-profile.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { KIB, MIB, repositoryWithImage } from '../helpers/images.js';
import { control, mountRepository } from '../helpers/mounts.js';
import { lazydisk, lazydiskJson, mustLazydisk } from '../helpers/program.js';
import { REPOSITORY_KINDS } from '../helpers/repositories.js';
import { waitFor } from '../helpers/waiting.js';

const CHUNK = 256 * KIB;
/** Every third chunk, from the end: 10 MiB of 30 that no readahead joins. */
const BOOT = Array.from({ length: 40 }, (_, index) => (117 - 3 * index) * CHUNK);

describe.each(REPOSITORY_KINDS)('boot profiles and hydration (%s)', (kind) => {
  cleanUpAfter('each');

  // S47
  test('one mount records; a fresh one has it all before the first read, of a clone too, and reads fetch nothing', async () => {
    const extents = [{ offset: 0, lengthBytes: 30 * MIB }];
    const { repository, name, original } = await repositoryWithImage(kind, { extents });
    const recording = await mountRepository({ repository, options: ['--profile', 'auto'] });
    const disk = await open(recording.path(name), 'r');
    for (const offset of BOOT) await disk.read(Buffer.alloc(4096), 0, 4096, offset);
    await disk.close();
    await recording.unmount();

    const { profile } = (await lazydiskJson(['profile', 'show', repository.url, name], { env: repository.env })) as {
      profile: BootProfile;
    };
    const chunks = profileBytes(profile.ranges) / CHUNK;
    expect(chunks).toBeGreaterThanOrEqual(BOOT.length);

    const mounted = await mountRepository({ repository, options: ['--profile', 'replay'] });
    await mustLazydisk(['clone', mounted.mountpoint, name, 'twin'], { env: repository.env });
    const twin = await open(mounted.path('twin'), 'r');
    try {
      await waitFor('the profile has come', async () => (await mounted.status()).fetchedChunks >= chunks);
      const before = await mounted.imageStatusFile('twin');
      expect(before.profile).toMatchObject({ from: name, prefetchedBytes: chunks * CHUNK });
      for (const offset of BOOT) {
        const expected = await readRange(original, offset, 4096);
        expect((await twin.read(Buffer.alloc(4096), 0, 4096, offset)).buffer.equals(expected)).toBe(true);
      }
      expect((await mounted.status()).fetchedChunks).toBe(chunks);
    } finally {
      await twin.close();
    }
    await mustLazydisk(['profile', 'drop', mounted.mountpoint, name], { env: repository.env });
    expect((await lazydisk(['profile', 'show', mounted.mountpoint, name], { env: repository.env })).status).toBe(3);
    expect(await control(mounted.path('twin', 'control'), 'profile record')).toMatchObject({
      ok: true,
      result: { image: 'twin', profile: { boots: 1 } },
    });
  });

  // S48
  test('hydrate makes an image local that nobody has open; afterwards reads fetch nothing', async () => {
    const { repository, name, original } = await repositoryWithImage(kind);
    const mounted = await mountRepository({ repository });
    const outcome = await lazydiskJson(['hydrate', mounted.mountpoint, name], { env: repository.env });
    expect(outcome).toMatchObject({ image: name });
    const { localBytes, needsStore, missingBytes } = await mounted.imageStatus(name);
    expect([needsStore, missingBytes]).toEqual([false, 0]);
    expect(outcome).toMatchObject({ localBytes, fetchedBytes: localBytes });
    const { fetchedChunks } = await mounted.status();
    expect(fetchedChunks).toBeLessThanOrEqual(localBytes / CHUNK);
    const expected = await readRange(original, 0, 4 * MIB);
    expect((await readRange(mounted.path(name), 0, 4 * MIB)).equals(expected)).toBe(true);
    expect(await control(mounted.path(name, 'control'), 'hydrate @1')).toMatchObject({ result: { fetchedBytes: 0 } });
    expect((await mounted.status()).fetchedChunks).toBe(fetchedChunks);
  });
});
