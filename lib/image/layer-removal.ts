/**
 * Removing the files of layers that no record lists any more, beside everything else.
 *
 * A file system that is mounted with `discard` takes up to a millisecond for each piece of a file, half a minute for a layer of
 * scattered blocks, in one call that not even SIGKILL ends. So a data file is made shorter from its end, in steps that
 * take about 50 ms, and whoever ends a disk waits as long as he likes, and for the step that runs then.
 *
 * The data file's name goes last. So what is left, by an end or by a kill at any step, is found by the next open
 * (`unlistedLayers`). An error is logged and leaves it to that open too.
 */
import { open, rm } from 'node:fs/promises';

import { errnoOf, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { LayerFiles } from './layer-files.js';

/** Of the densest file, 128 pieces. */
const FIRST_STEP_BYTES = 1024 * 1024;
const MIN_STEP_BYTES = 64 * 1024;
/** A step that took longer is followed by a shorter one; one that took a quarter of it by a longer one. */
const STEP_MS = 50;

export class LayerRemoval {
  /** No step begins after it, milliseconds of `performance.now()`. */
  private deadline = Infinity;
  private running: Promise<void> = Promise.resolve();

  /** `onStep` is called after each step: a test can end the process there. */
  constructor(
    private readonly log: Log,
    private readonly onStep: () => void = () => undefined,
  ) {}

  /** Begins with layers that are closed and that no record lists, behind those that it has already. */
  start(layers: readonly LayerFiles[]): void {
    this.running = this.running.then(() => this.removeEach(layers));
  }

  /** Resolves when all is removed, or when the step is over that ran after so many milliseconds: what is left stays. */
  async stop(patienceMs: number): Promise<void> {
    this.deadline = performance.now() + patienceMs;
    await this.running;
  }

  private get isOver(): boolean {
    return performance.now() >= this.deadline;
  }

  private async removeEach(layers: readonly LayerFiles[]): Promise<void> {
    for (const files of layers) {
      if (this.isOver) return;
      await this.remove(files).catch((error: unknown) => {
        this.log.warn('the files of a layer that is no longer used could not be removed', { error: messageOf(error) });
      });
    }
  }

  private async remove(files: LayerFiles): Promise<void> {
    await files.removeSides();
    this.onStep();
    await this.shorten(files.path('data'));
    if (this.isOver) return;
    await rm(files.path('data'), { force: true });
    this.onStep();
  }

  private async shorten(path: string): Promise<void> {
    const file = await openIfThere(path);
    if (file === undefined) return;
    try {
      let { size } = await file.stat();
      let stepBytes = FIRST_STEP_BYTES;
      while (size > 0 && !this.isOver) {
        const startMs = performance.now();
        size = Math.max(0, size - stepBytes);
        await file.truncate(size);
        stepBytes = nextStep(stepBytes, performance.now() - startMs);
        this.onStep();
      }
    } finally {
      await file.close();
    }
  }
}

/** How much to take off next, after a step that took so long. */
function nextStep(stepBytes: number, tookMs: number): number {
  if (tookMs > STEP_MS) return Math.max(MIN_STEP_BYTES, stepBytes / 2);
  return tookMs < STEP_MS / 4 ? stepBytes * 2 : stepBytes;
}

async function openIfThere(path: string): Promise<Awaited<ReturnType<typeof open>> | undefined> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
