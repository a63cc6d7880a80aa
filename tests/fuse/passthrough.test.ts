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
    expect(await Promise.all([passthrough.opened(17, 5), passthrough.opened(17, 6)])).toEqual([1, 1]);
    expect([...table.known]).toEqual([[1, 5]]);
    passthrough.released(17);
    expect(table.known.size).toBe(1);
    passthrough.released(17);
    expect(table.known.size).toBe(0);
    expect(await passthrough.opened(17, 6)).toBe(2);
  });

  it('that was opened without a flat file stays so until everybody has closed it', async () => {
    const { passthrough } = passthroughOver(new Table());
    expect(await Promise.all([passthrough.opened(17, undefined), passthrough.opened(17, 5)])).toEqual([
      undefined,
      undefined,
    ]);
    passthrough.released(17);
    expect(await passthrough.opened(17, 5)).toBeUndefined();
    passthrough.released(17);
    passthrough.released(17);
    expect(await passthrough.opened(17, 5)).toBe(1);
  });

  it('whose flat file is dropped meanwhile goes on with it, as the kernel does', async () => {
    const { passthrough } = passthroughOver(new Table());
    expect(await Promise.all([passthrough.opened(17, 5), passthrough.opened(17, undefined)])).toEqual([1, 1]);
  });

  it('is served as ever where the kernel has no passthrough, or refuses it: said once', async () => {
    expect(await passthroughOver(undefined).passthrough.opened(17, 5)).toBeUndefined();
    const refusing: BackingFiles = {
      open: () => {
        throw new Error('EPERM: ioctl');
      },
      close: () => {
        throw new Error('not open');
      },
    };
    const { passthrough, logged } = passthroughOver(refusing);
    expect(await Promise.all([passthrough.opened(17, 5), passthrough.opened(18, 6)])).toEqual([undefined, undefined]);
    passthrough.released(17);
    passthrough.released(18);
    expect(logged).toEqual([expect.stringContaining('EPERM')]);
  });

  it('is open under the same id and as often in the eyes of the next daemon', async () => {
    const [table, database] = [new Table(), new MemoryDatabase()];
    const daemon = async (): Promise<Passthrough> => {
      const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
      return new Passthrough(table, log, await OpenRecords.open(database, 'c1'));
    };
    const first = await daemon();
    await first.opened(17, 5);
    await first.opened(17, 6);
    await first.opened(18, undefined);
    const second = await daemon();
    expect(await Promise.all([second.opened(17, undefined), second.opened(18, 7)])).toEqual([1, undefined]);
    for (const node of [17, 17, 18]) second.released(node);
    await second.opened(19, undefined); // kept after the releases
    const third = await daemon();
    third.released(17);
    expect(table.known.size).toBe(0);
    expect(await third.opened(17, 8)).toBe(2);
    expect(await third.opened(18, 9)).toBeUndefined();
  });
});
