import { describe, expect, it } from '@jest/globals';
import { OpenRecords } from '../../mount/fuse/open-records.js';
import { Passthrough, type BackingFiles } from '../../mount/fuse/passthrough.js';
import { MemoryDatabase } from '../helpers/memory-database.js';

class Table implements BackingFiles {
  readonly known = new Map<number, number>();
  private next = 1;

  open(descriptor: number): number {
    this.known.set(this.next, descriptor);
    return this.next++;
  }

  close(backingId: number): void {
    if (!this.known.delete(backingId)) throw new Error(`no such id ${String(backingId)}`);
  }
}

function passthroughOver(files: BackingFiles | undefined): { passthrough: Passthrough; logged: string[] } {
  const logged: string[] = [];
  const log = (message: string): void => void logged.push(message);
  return { passthrough: new Passthrough(files, { info: log, warn: log, error: log }), logged };
}

describe('a node', () => {
  it('is passed through under one id by all who have it open, which is given back after the last', async () => {
    const table = new Table();
    const { passthrough } = passthroughOver(table);
    expect(await Promise.all([passthrough.opened(17, 0, 5), passthrough.opened(17, 0, 6)])).toEqual([1, 1]);
    expect([...table.known]).toEqual([[1, 5]]);
    passthrough.released(17, 0);
    expect(table.known.size).toBe(1);
    passthrough.released(17, 0);
    expect(table.known.size).toBe(0);
    expect(await passthrough.opened(17, 0, 6)).toBe(2);
  });

  it('that was opened without a flat file stays so until everybody has closed it', async () => {
    const { passthrough } = passthroughOver(new Table());
    expect(await Promise.all([passthrough.opened(17, 0, undefined), passthrough.opened(17, 0, 5)])).toEqual([
      undefined,
      undefined,
    ]);
    passthrough.released(17, 0);
    expect(await passthrough.opened(17, 0, 5)).toBeUndefined();
    passthrough.released(17, 0);
    passthrough.released(17, 0);
    expect(await passthrough.opened(17, 0, 5)).toBe(1);
  });

  it('whose flat file is dropped meanwhile goes on with it, as the kernel does', async () => {
    const { passthrough } = passthroughOver(new Table());
    expect(await Promise.all([passthrough.opened(17, 0, 5), passthrough.opened(17, 0, undefined)])).toEqual([1, 1]);
  });

  it('is served as ever where the kernel has no passthrough, or refuses it: said once', async () => {
    expect(await passthroughOver(undefined).passthrough.opened(17, 0, 5)).toBeUndefined();
    const refusing: BackingFiles = {
      open: () => {
        throw new Error('EPERM: ioctl');
      },
      close: () => {
        throw new Error('not open');
      },
    };
    const { passthrough, logged } = passthroughOver(refusing);
    expect(await Promise.all([passthrough.opened(17, 0, 5), passthrough.opened(18, 0, 6)])).toEqual([
      undefined,
      undefined,
    ]);
    passthrough.released(17, 0);
    passthrough.released(18, 0);
    expect(logged).toEqual([expect.stringContaining('EPERM')]);
  });

  it('is open under the same id and as often in the eyes of the next daemon', async () => {
    const [table, database] = [new Table(), new MemoryDatabase()];
    const daemon = async (): Promise<Passthrough> => {
      const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
      return new Passthrough(table, log, await OpenRecords.open(database, 'c1'));
    };
    const first = await daemon();
    await first.opened(17, 0, 5);
    await first.opened(17, 0, 6);
    await first.opened(18, 0, undefined);
    const second = await daemon();
    expect(await Promise.all([second.opened(17, 0, undefined), second.opened(18, 0, 7)])).toEqual([1, undefined]);
    for (const node of [17, 17, 18]) second.released(node, 0);
    await second.opened(19, 0, undefined); // kept after the releases
    const third = await daemon();
    third.released(17, 0);
    expect(table.known.size).toBe(0);
    expect(await third.opened(17, 0, 8)).toBe(2);
    expect(await third.opened(18, 0, 9)).toBeUndefined();
  });

  it('is told to the next daemon with how often it is open, under which handle; what was released is not', async () => {
    const database = new MemoryDatabase();
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const first = new Passthrough(undefined, log, await OpenRecords.open(database, 'c1'));
    for (const [node, handle] of [
      [17, 0],
      [17, 1],
      [17, 1],
      [18, 1],
      [19, 0],
    ] as const)
      await first.opened(node, handle, undefined);
    first.released(17, 1);
    first.released(19, 0);
    await first.opened(20, 0, undefined); // kept after the releases
    const told = [...(await OpenRecords.open(database, 'c1')).earlierOpens()];
    expect(told).toEqual([
      { node: 17, handle: 0, count: 1 },
      { node: 17, handle: 1, count: 1 },
      { node: 18, handle: 1, count: 1 },
      { node: 20, handle: 0, count: 1 },
    ]);
    expect([...(await OpenRecords.open(database, 'c2')).earlierOpens()]).toEqual([]);
  });
});
