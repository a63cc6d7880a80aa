import { setImmediate } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { HandlingLine } from '../../lib/mirror/handling-line.js';

const busyMs = (ms: number): void => {
  for (const end = performance.now() + ms; performance.now() < end;);
};

it('the most urgent chunk goes first, those of one line in the order in which they came', async () => {
  const line = new HandlingLine();
  const order: string[] = [];
  const add = (name: string, priority: 'demand' | 'prefetch' | 'fill'): Promise<void> =>
    line.handle(async () => void order.push(name), priority);
  await Promise.all([
    add('f', 'fill'),
    add('p1', 'prefetch'),
    add('d1', 'demand'),
    add('p2', 'prefetch'),
    add('d2', 'demand'),
  ]);
  expect(order).toEqual(['d1', 'd2', 'p1', 'p2', 'f']);
});

it('whoever asks hears how the work ended, and a failure holds nobody up', async () => {
  const line = new HandlingLine();
  const failed = line.handle(() => Promise.reject(new Error('no')), 'fill');
  const done = line.handle(() => Promise.resolve(5), 'fill');
  await expect(failed).rejects.toThrow('no');
  expect(await done).toBe(5);
});

it('what waits does not hold up the next ones, up to eight at once', async () => {
  const line = new HandlingLine();
  const held: (() => void)[] = [];
  let begun = 0;
  const works = Array.from({ length: 12 }, () =>
    line.handle(() => new Promise<void>((resolve) => (begun++, held.push(resolve))), 'fill'),
  );
  while (begun < 8) await setImmediate();
  for (let turn = 0; turn < 5; turn++) await setImmediate();
  expect(begun).toBe(8);
  held.shift()!();
  while (begun < 9) await setImmediate();
  for (let turn = 0; turn < 5; turn++) await setImmediate();
  expect(begun).toBe(9);
  while (begun < 12 || held.length > 0) {
    held.shift()?.();
    await setImmediate();
  }
  await Promise.all(works);
});

it('other work has its turn between chunks that take long, and one that is more urgent overtakes them', async () => {
  const line = new HandlingLine();
  let handled = 0;
  const works = Array.from({ length: 20 }, () => line.handle(async () => (busyMs(5), handled++), 'fill'));
  let urgentAfter: Promise<number> | undefined;
  const turns: number[] = [];
  while (handled < 20) {
    await setImmediate();
    turns.push(handled);
    if (handled > 0) urgentAfter ??= line.handle(async () => handled, 'demand');
  }
  await Promise.all(works);
  expect(Math.max(...turns.map((count, n) => count - (turns[n - 1] ?? 0)))).toBe(1);
  expect(await urgentAfter).toBeLessThanOrEqual(2);
});
