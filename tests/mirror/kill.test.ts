import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileLib } from '../helpers/compiled-lib.js';
import { CHUNK, TestPlace, holds, readChunk, wanted } from './fake-source.js';

const CHUNKS = 80;
const KILLS = 8;

let library: string;
beforeAll(async () => {
  library = await compileLib();
});
afterAll(async () => {
  await rm(library, { recursive: true, force: true });
});
let place: TestPlace;
beforeEach(async () => {
  place = await TestPlace.make();
});
afterEach(async () => {
  await place.remove();
});

test('after kill -9 at any point, whatever the record says is local is whole in its slot', async () => {
  const chunks = place.source.addSegment('s', 1, CHUNKS);
  place.source.fault = () => {
    throw new Error('nothing is fetched here');
  };
  const script = fileURLToPath(new URL('./busy-mirror.mjs', import.meta.url));
  let found = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const child = spawn(
      process.execPath,
      [script, library, join(place.directory, 'mirror'), String(CHUNKS), String(seed)],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const gone = once(child, 'exit');
    const stepsToLive = 1 + (seed % 200);
    let steps = 0;
    for await (const data of child.stdout) {
      steps += (data as Buffer).length;
      if (steps >= stepsToLive) child.kill('SIGKILL');
    }
    await gone;
    expect(child.signalCode).toBe('SIGKILL');

    const mirror = await place.open({ bootId: 'boot' });
    const map = mirror.createMap(CHUNK, CHUNKS);
    await mirror.publishLocal(map, wanted(chunks));
    const wrong: number[] = [];
    for (let n = 0; n < CHUNKS; n++) {
      const bytes = readChunk(mirror, map, n);
      if (bytes === undefined) continue;
      found++;
      if (!holds(bytes, n + 1)) wrong.push(n);
    }
    expect({ seed, wrong }).toEqual({ seed, wrong: [] });
    await mirror.close();
  }
  expect(found).toBeGreaterThan(KILLS);
});
