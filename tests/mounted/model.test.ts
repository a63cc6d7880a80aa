import { describe, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf, makeSparseFile, readRange } from '../helpers/contents.js';
import { supports } from '../helpers/driver.js';
import { commit, importFile, MIB, repositoryWithImage } from '../helpers/images.js';
import { mountAgain, mountRepository } from '../helpers/mounts.js';
import { start } from '../helpers/processes.js';
import { mustLazydisk } from '../helpers/program.js';
import { REPOSITORY_KINDS } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

const TOOL = resolve('tests/tools/model-process.mjs');
const LANE_BYTES = 13 * 512;
const LANES = 3;
const SIZE = 4 * MIB;

describe.each(REPOSITORY_KINDS)('several processes against a plain buffer (%s)', (kind) => {
  cleanUpAfter('each');

  test('every read is right while commits and clones are taken, and the last snapshot is what they wrote', async () => {
    const seed = Date.now() % 1_000_000;
    const { repository, name, original } = await repositoryWithImage(kind, {
      sizeBytes: SIZE,
      extents: [{ offset: 0, lengthBytes: 3 * MIB + 700 }],
    });
    // Another image that does not fit beside it is read all the while: the base comes and goes below the writes.
    const large = join(temporaryFolder('large'), 'large.raw');
    await makeSparseFile(large, 80 * MIB, [{ offset: 0, lengthBytes: 80 * MIB }], seed);
    await importFile(repository, large, 'large');
    const mounted = await mountRepository({ repository, options: ['--cache-size', '64M'] });
    const reader = start('bash', [
      '-c',
      `while cmp -s "${large}" "${mounted.path('large', '1.raw')}"; do :; done; echo differs`,
    ]);
    const folder = temporaryFolder('model');
    const models = Array.from({ length: LANES }, (_, lane) => join(folder, String(lane)));
    const processes = models.map((model, lane) =>
      start(process.execPath, [
        TOOL,
        mounted.path(name),
        model,
        ...[seed, lane, LANES, SIZE, 4000, supports('discard') ? 1 : 0].map((number) => String(number)),
      ]),
    );
    let running = true;
    const ended = Promise.all(processes.map((process) => process.ended)).finally(() => {
      running = false;
    });
    await mustLazydisk(['clone', mounted.mountpoint, `${name}@1`, 'twin'], { env: repository.env });
    while (running) await commit(mounted, name);
    for (const { status, stderr } of await ended) {
      if (status !== 0) throw new Error(`seed ${String(seed)}: ${stderr}`);
    }
    expect(reader.output()).toBe('');
    await waitFor('chunks were evicted', async () => (await mounted.status()).evictedChunks > 0);
    reader.kill();
    await reader.ended;

    const expected = Buffer.from(await readFile(original));
    for (const [lane, model] of models.entries()) {
      const bytes = await readFile(model);
      for (let start = lane * LANE_BYTES; start + LANE_BYTES <= SIZE; start += LANES * LANE_BYTES) {
        bytes.copy(expected, start, start, start + LANE_BYTES);
      }
    }
    const { number } = await commit(mounted, name);
    const same = async (path: string): Promise<boolean> => expected.equals(await readRange(path, 0, SIZE));
    expect({ seed, head: await same(mounted.path(name)) }).toEqual({ seed, head: true });
    const snapshot = await same(mounted.path(name, `${String(number)}.raw`));
    expect({ seed, snapshot }).toEqual({ seed, snapshot: true });
    expect(await checksumOf(mounted.path('twin'))).toBe(await checksumOf(original));

    await mounted.unmount();
    const again = await mountAgain(mounted);
    expect({ seed, again: await same(again.path(name)) }).toEqual({ seed, again: true });
  });
});
