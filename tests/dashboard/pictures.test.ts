/** Pictures are shared by pages, and take a small share of the time. */
import { expect, test } from '@jest/globals';
import type { ImageView } from '../../lib/image/views.js';
import { Pictures } from '../../mount/dashboard/pictures.js';

/** A view whose pictures take so long, by the clock of the test. */
function slowView(clock: { ms: number }, takesMs: number): ImageView & { taken: number } {
  return {
    taken: 0,
    glance: () => null,
    picture() {
      this.taken++;
      clock.ms += takesMs;
      return Promise.resolve(null);
    },
    firstReads: () => Promise.resolve(null),
    lookUp: () => Promise.resolve(),
  };
}

test('pages that ask at the same time share one picture', async () => {
  const clock = { ms: 1 };
  const view = slowView(clock, 1);
  const pictures = new Pictures(() => clock.ms);
  await Promise.all([pictures.of('disk', view), pictures.of('disk', view), pictures.of('disk', view)]);
  expect(view.taken).toBe(1);
  await pictures.of('other', view);
  expect(view.taken).toBe(2);
});

test('after a picture that took long there is none for twenty times as long', async () => {
  const clock = { ms: 1 };
  const view = slowView(clock, 100);
  const pictures = new Pictures(() => clock.ms);
  expect((await pictures.of('disk', view)).pauseMs).toBe(2000);
  clock.ms += 1999;
  await pictures.of('disk', view);
  expect(view.taken).toBe(1);
  clock.ms += 1;
  await pictures.of('disk', view);
  expect(view.taken).toBe(2);
});
