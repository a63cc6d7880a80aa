/** The directory store beside the memory store, which is the contract at its plainest: they must not differ. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DirectoryStore } from '../../lib/store/directory-store.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import type { ObjectStore } from '../../lib/store/object-store.js';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'lazydisk-directory-model-'));
});
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

// No key is the directory of another: that is the one thing that a directory can't store (lib/store/directory-store.ts).
const KEYS = ['a', 'b/1', 'b/2', 'b-', 'b/c/d', 'b/c/e', 'bb/c', 'x/y/z/1'];
const PREFIXES = ['', 'a', 'b', 'b/', 'b/c', 'b/c/', 'bb', 'x/y', 'none/'];

type Step =
  | { readonly kind: 'put'; readonly key: string; readonly lengthBytes: number; readonly ifAbsent: boolean }
  | { readonly kind: 'get'; readonly key: string; readonly range: readonly [number, number] | undefined }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'list'; readonly prefix: string; readonly isCut: boolean };

const key = fc.constantFrom(...KEYS);
const size = fc.integer({ min: 0, max: 50 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key, lengthBytes: size, ifAbsent: fc.boolean() }),
  fc.record({
    kind: fc.constant('get' as const),
    key,
    range: fc.option(fc.tuple(size, fc.integer({ min: 1, max: 50 })), { nil: undefined }),
  }),
  fc.record({ kind: fc.constant('delete' as const), key }),
  fc.record({ kind: fc.constant('list' as const), prefix: fc.constantFrom(...PREFIXES), isCut: fc.boolean() }),
);

/** What a step answers, as a value to compare: errors by their code, times left out. */
async function outcomeOf(store: ObjectStore, step: Step, index: number): Promise<unknown> {
  try {
    switch (step.kind) {
      case 'put':
        return await store.put(step.key, Buffer.alloc(step.lengthBytes, index), { ifAbsent: step.ifAbsent });
      case 'get': {
        const range = step.range && { offsetBytes: step.range[0], lengthBytes: step.range[1] };
        return (await store.get(step.key, { range })).toString('hex');
      }
      case 'delete':
        return await store.delete(step.key);
      case 'list': {
        const { objects, prefixes } = await store.list(step.prefix, step.isCut ? { delimiter: '/' } : {});
        return [objects.map(({ key: found, sizeBytes }) => [found, sizeBytes]), prefixes];
      }
    }
  } catch (error) {
    return (error as { code: unknown }).code;
  }
}

describe('the directory store', () => {
  it('answers as the memory store does, whatever is asked', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        run += 1;
        const root = join(scratch, String(run));
        const model = new MemoryStore();
        for (const [index, next] of steps.entries()) {
          // A new store for each step: nothing may depend on what an object of it remembers.
          const actual = await outcomeOf(new DirectoryStore(root), next, index);
          expect([index, next, actual]).toEqual([index, next, await outcomeOf(model, next, index)]);
        }
      }),
      { numRuns: 40 },
    );
  });
});
