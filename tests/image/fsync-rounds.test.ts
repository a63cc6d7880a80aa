/** FSYNC rounds by themselves: their order, who joins which, and what a failing disk does. Layers are stand-ins that record. */
import { describe, expect, test } from '@jest/globals';

import { FsyncRounds } from '../../lib/image/fsync-rounds.js';
import type { Layer, LayerChanges } from '../../lib/image/layer.js';
import { CONTROL_DIRTY, CONTROL_WORDS } from '../../lib/image/plane.js';

class RecordingLayer {
  readonly steps: string[] = [];
  headerChanged = false;
  /** What `syncData` waits for or fails with. */
  sync: () => Promise<void> = () => Promise.resolve();
  private taken = 0;

  takeChanges(): LayerChanges {
    this.taken++;
    this.steps.push(`take ${this.taken}`);
    return { groups: [{ firstBlock: 0, states: Buffer.from([this.taken]) }], header: null };
  }

  returnChanges(changes: LayerChanges): void {
    this.steps.push(`return ${changes.groups[0]!.states[0]}`);
  }

  async syncData(): Promise<void> {
    this.steps.push('sync data');
    await this.sync();
  }

  storeDurably(changes: LayerChanges): Promise<void> {
    this.steps.push(`store ${changes.groups[0]!.states[0]}`);
    return Promise.resolve();
  }
}

function roundsOver(...layers: RecordingLayer[]): {
  rounds: FsyncRounds;
  control: Uint32Array<SharedArrayBuffer>;
  failures: string[];
} {
  const control = new Uint32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  const failures: string[] = [];
  const rounds = new FsyncRounds(
    control,
    () => layers as unknown as Layer[],
    (failure) => failures.push(failure.code),
  );
  return { rounds, control, failures };
}

describe('an FSYNC round', () => {
  test('takes the states before it syncs the data, and stores them only after all data is synced', async () => {
    const [old, top] = [new RecordingLayer(), new RecordingLayer()];
    const order: string[] = [];
    old.sync = () => {
      order.push(...top.steps);
      return Promise.resolve();
    };
    const { rounds, control } = roundsOver(old, top);
    rounds.touch();
    expect(rounds.isNeeded()).toBe(true);
    await rounds.request();
    expect(old.steps).toEqual(['take 1', 'sync data', 'store 1']);
    expect(top.steps).toEqual(['take 1', 'sync data', 'store 1']);
    expect(order).not.toContain('store 1');
    expect(Atomics.load(control, CONTROL_DIRTY)).toBe(0);
  });

  test('that runs is not joined: whoever comes during it shares the next one', async () => {
    const layer = new RecordingLayer();
    let release = (): void => undefined;
    layer.sync = () => new Promise((resolve) => (release = resolve));
    const { rounds } = roundsOver(layer);
    const first = rounds.request();
    await new Promise((resolve) => setImmediate(resolve));
    layer.sync = () => Promise.resolve();
    const later = [rounds.request(), rounds.request()];
    release();
    await Promise.all([first, ...later]);
    expect(layer.steps.filter((step) => step.startsWith('take'))).toEqual(['take 1', 'take 2']);
  });

  // S21
  test('that fails gives its states back, and every later call fails until the head is opened anew', async () => {
    const layer = new RecordingLayer();
    layer.sync = () => Promise.reject(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }));
    const { rounds, failures } = roundsOver(layer);
    await expect(rounds.request()).rejects.toMatchObject({ code: 'IO' });
    expect(layer.steps).toEqual(['take 1', 'sync data', 'return 1']);
    expect(failures).toEqual(['IO']);
    expect(rounds.isNeeded()).toBe(true);
    // The kernel reports the error once; a second sync of the same file would succeed and mean nothing.
    layer.sync = () => Promise.resolve();
    await expect(rounds.request()).rejects.toMatchObject({ code: 'IO' });
    expect(layer.steps).toHaveLength(3);
    rounds.forgetFailure();
    await rounds.request();
    expect(layer.steps.slice(3)).toEqual(['take 2', 'sync data', 'store 2']);
  });

  test('does not run while the list of layers is being changed', async () => {
    const layer = new RecordingLayer();
    const { rounds } = roundsOver(layer);
    let end = (): void => undefined;
    const change = rounds.exclusive(() => new Promise<void>((resolve) => (end = resolve)));
    const round = rounds.request();
    await new Promise((resolve) => setImmediate(resolve));
    expect(layer.steps).toEqual([]);
    end();
    await Promise.all([change, round]);
    expect(layer.steps).toContain('store 1');
  });
});
