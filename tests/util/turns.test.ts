import { expect, test } from '@jest/globals';

import { Turns } from '../../lib/util/turns.js';

/** A job that notes its beginning, and ends when it is told to. */
function heldJob(name: string, seen: string[]): { job: () => Promise<string>; end: () => void; fail: () => void } {
  let end!: () => void;
  let fail!: () => void;
  const held = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = (): void => {
      reject(new Error(name));
    };
  });
  const job = async (): Promise<string> => {
    seen.push(name);
    await held;
    return name;
  };
  return { job, end, fail };
}

test('a job begins when the one before it has ended, also when that has failed', async () => {
  const turns = new Turns();
  const seen: string[] = [];
  const [first, second, third] = ['first', 'second', 'third'].map((name) => heldJob(name, seen));
  const results = [first!, second!, third!].map(({ job }) => turns.take(job));
  const outcomes = Promise.allSettled(results);
  await Promise.resolve();
  expect(seen).toEqual(['first']);
  first!.fail();
  await expect(results[0]).rejects.toThrow('first');
  expect(seen).toEqual(['first', 'second']);
  second!.end();
  await expect(results[1]).resolves.toBe('second');
  third!.end();
  await turns.ended();
  expect(seen).toEqual(['first', 'second', 'third']);
  expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
});

test('the end of all jobs is told without their errors', async () => {
  const turns = new Turns();
  const failed = turns.take(() => Promise.reject(new Error('no')));
  await expect(turns.ended()).resolves.toBeUndefined();
  await expect(failed).rejects.toThrow('no');
});
