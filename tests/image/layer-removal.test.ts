/** Files of layers that no record lists go in steps, beside everything else, and whoever comes next ends what was begun. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { randomId } from '../../lib/format/checksums.js';
import { unlistedLayers } from '../../lib/image/layer-files.js';
import { LayerRemoval } from '../../lib/image/layer-removal.js';
import { silentLog } from '../../lib/util/log.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { compileLib } from '../helpers/compiled-lib.js';
import { CHUNK, ImageWorld, shut, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

const SCRIPT = fileURLToPath(new URL('./layer-removal.mjs', import.meta.url));
const MIB = 1024 * 1024;
/** Too long for the two first steps, of 1 MiB and at most 2. */
const LAYER_BYTES = 64 * MIB;

let library: string;
beforeAll(async () => {
  library = await compileLib();
});
afterAll(async () => {
  await rm(library, { recursive: true, force: true });
});

/** The files of a layer as a kill leaves them, with data at its begin and its end. */
function leaveLayer(folder: string, id = randomId()): string {
  for (const kind of ['live', 'durable']) writeFileSync(join(folder, `${id}.${kind}`), Buffer.alloc(8192, 1));
  const data = openSync(join(folder, `${id}.data`), 'w');
  ftruncateSync(data, LAYER_BYTES);
  for (const at of [0, LAYER_BYTES - 4096]) writeSync(data, Buffer.alloc(4096, 1), 0, 4096, at);
  closeSync(data);
  return id;
}

test('all files of unlisted layers go, and nothing else', async () => {
  const folder = temporaryFolder('removal');
  const listed = leaveLayer(folder);
  leaveLayer(folder);
  writeFileSync(join(folder, `${leaveLayer(folder)}.live.new`), '');
  writeFileSync(join(folder, 'head.json'), '{}');
  const removal = new LayerRemoval(silentLog);
  removal.start(await unlistedLayers(folder, [listed]));
  await removal.stop(60_000);
  const kept = [`${listed}.data`, `${listed}.durable`, `${listed}.live`, 'head.json'];
  expect(readdirSync(folder).sort()).toEqual(kept.sort());
  expect(statSync(join(folder, `${listed}.data`)).size).toBe(LAYER_BYTES);
});

test('who has no patience waits for one step: the rest stays, and is found by the next one', async () => {
  const folder = temporaryFolder('removal');
  const ids = [leaveLayer(folder), leaveLayer(folder)].sort();
  let steps = 0;
  const removal = new LayerRemoval(silentLog, () => {
    if (++steps === 3) void removal.stop(0);
  });
  removal.start(await unlistedLayers(folder, []));
  await waitFor('three steps', () => steps === 3);
  await removal.stop(0);
  expect(steps).toBe(3); // the small files, and twice a piece of the data
  const sizes = ids.map((id) => statSync(join(folder, `${id}.data`)).size).sort((a, b) => a - b);
  expect(sizes[0]).toBeLessThan(LAYER_BYTES);
  expect(sizes).toEqual([sizes[0], LAYER_BYTES]);

  const next = new LayerRemoval(silentLog);
  next.start(await unlistedLayers(folder, []));
  await next.stop(60_000);
  expect(readdirSync(folder)).toEqual([]);
});

test('a kill after any step leaves files that are found and removed', async () => {
  let killedAfter = 0;
  for (;;) {
    const folder = temporaryFolder('removal');
    const id = leaveLayer(folder);
    const child = spawn(process.execPath, [SCRIPT, library, folder, String(killedAfter + 1)], { stdio: 'inherit' });
    await once(child, 'exit');
    if (child.signalCode === null) {
      expect({ status: child.exitCode, left: readdirSync(folder) }).toEqual({ status: 0, left: [] });
      break;
    }
    killedAfter++;
    // After the last step, nothing; before it, at least the name by which the layer is found.
    expect([[], [`${id}.data`]]).toContainEqual(readdirSync(folder));
    const removal = new LayerRemoval(silentLog);
    removal.start(await unlistedLayers(folder, []));
    await removal.stop(60_000);
    expect(readdirSync(folder)).toEqual([]);
  }
  expect(killedAfter).toBeGreaterThanOrEqual(4); // small files, pieces, name
});

test('a disk whose old layer was being removed when its host ended opens at once, reads as before, and ends the removal', async () => {
  const folder = temporaryFolder('removal');
  const world = await ImageWorld.open(folder);
  await withImage(world, 7);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(CHUNK, 8));
  const headFolder = join(folder, 'heads', readdirSync(join(folder, 'heads'))[0]!);
  await world.die();
  const left = leaveLayer(headFolder);
  const next = await ImageWorld.open(folder, { store: world.store });
  const again = await next.openHead('disk');
  expect(await again.read(0, 2 * CHUNK)).toEqual(Buffer.concat([Buffer.alloc(CHUNK, 8), Buffer.alloc(CHUNK, 7)]));
  await waitFor('the old layer goes', () => !readdirSync(headFolder).some((name) => name.startsWith(left)));
  shut(again);
  await next.close();
});
