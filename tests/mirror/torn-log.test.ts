import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalDatabase } from '../../lib/mirror/local-database.js';
import { mount, umount2 } from '../../lib/util/syscalls.js';

const MIB = 1024 * 1024;
/** Mounting a small file system needs root; the rest of the suite does not. */
const asRoot = process.getuid?.() === 0 ? describe : describe.skip;

asRoot('a database on a disk that was full', () => {
  let disk: string;
  let database: LocalDatabase;
  const folder = (): string => join(disk, 'database');
  const balloon = (): string => join(disk, 'balloon');
  const fill = (): void => {
    expect(() => {
      writeFileSync(balloon(), Buffer.alloc(8 * MIB, 1), { flag: 'a' });
    }).toThrow(/ENOSPC/);
  };
  /** A change whose record does not fit into what is left, so that a part of it is written. */
  const tear = async (): Promise<void> => {
    await database.put('before', Buffer.alloc(1000, 1), { sync: true });
    fill();
    await expect(database.put('torn', Buffer.alloc(20_000, 2))).rejects.toThrow(/No space left/);
  };

  beforeEach(async () => {
    disk = mkdtempSync(join(tmpdir(), 'lazydisk-small-'));
    mount('tmpfs', disk, 'tmpfs', 0, 'size=8m,mode=0700');
    database = await LocalDatabase.open(folder());
  });
  afterEach(async () => {
    await database.close();
    umount2(disk, 0);
    rmdirSync(disk);
  });

  test('keeps what it has acknowledged since', async () => {
    await tear();
    rmSync(balloon());
    const keys = Array.from({ length: 40 }, (_, n) => `after/${String(n)}`);
    await Promise.all(keys.map((key, n) => database.put(key, Buffer.alloc(100, 3), { sync: n % 2 === 0 })));
    await database.delete('before');
    await database.close();

    database = await LocalDatabase.open(folder());
    expect((await database.getMany(keys)).filter((value) => value?.equals(Buffer.alloc(100, 3)))).toHaveLength(40);
    expect(await database.get('before')).toBeUndefined();
  });

  test('acknowledges nothing while there is no room for what it has in memory, and is read on', async () => {
    await tear();
    rmSync(balloon());
    writeFileSync(balloon(), Buffer.alloc(7.5 * MIB, 1));
    const refused = { code: 'NO_SPACE', message: expect.stringContaining(folder()) as unknown };
    await expect(database.put('after', Buffer.alloc(10))).rejects.toMatchObject(refused);
    await expect(database.put('after', Buffer.alloc(10), { sync: true })).rejects.toMatchObject(refused);
    expect(await database.get('before')).toEqual(Buffer.alloc(1000, 1));
    expect(await database.get('after')).toBeUndefined();
  });

  test('begins one new log for it, not one for each change', async () => {
    const logs = (): string[] => readdirSync(folder()).filter((name) => name.endsWith('.log'));
    await tear();
    const [torn] = logs();
    rmSync(balloon());
    await database.put('after', Buffer.alloc(10));
    const [fresh] = logs();
    expect(fresh).not.toBe(torn);
    await database.put('later', Buffer.alloc(10));
    expect(logs()).toEqual([fresh]);
  });
});
