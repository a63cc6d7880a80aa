import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalDatabase } from '../../lib/mirror/local-database.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lazydisk-database-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('LocalDatabase', () => {
  test('keeps what was put over a close and an open', async () => {
    const first = await LocalDatabase.open(join(directory, 'a/b'));
    await first.put('x', Buffer.from([0, 255, 1]));
    await first.put('y', Buffer.alloc(0), { sync: true });
    await first.close();
    const second = await LocalDatabase.open(join(directory, 'a/b'));
    expect(await second.get('x')).toEqual(Buffer.from([0, 255, 1]));
    expect(await second.getMany(['y', 'none', 'x'])).toEqual([Buffer.alloc(0), undefined, Buffer.from([0, 255, 1])]);
    expect(await second.get('none')).toBeUndefined();
    await second.delete('x');
    await second.delete('none');
    expect(await second.get('x')).toBeUndefined();
    await second.close();
    await second.close();
    expect((await stat(join(directory, 'a/b'))).mode & 0o777).toBe(0o700);
  });

  test('a batch is applied in order, and entries come by prefix in key order', async () => {
    const database = await LocalDatabase.open(directory);
    await database.batch([
      { type: 'put', key: 'n/2', value: Buffer.from('2') },
      { type: 'put', key: 'n/1', value: Buffer.from('1') },
      { type: 'put', key: 'o/1', value: Buffer.from('o') },
      { type: 'put', key: 'n/3', value: Buffer.from('3') },
      { type: 'delete', key: 'n/3' },
    ]);
    const seen: string[] = [];
    for await (const [key, value] of database.entries('n/')) seen.push(`${key}=${value.toString()}`);
    expect(seen).toEqual(['n/1=1', 'n/2=2']);
    await database.close();
  });

  test('a second open in one process is BUSY', async () => {
    const database = await LocalDatabase.open(directory);
    await expect(LocalDatabase.open(directory)).rejects.toMatchObject({ code: 'BUSY' });
    await database.close();
    await (await LocalDatabase.open(directory)).close();
  });

  test('a database that another process holds is BUSY until that process is gone, even by kill -9', async () => {
    const level = createRequire(import.meta.url).resolve('level');
    const script = `
      const { Level } = require(${JSON.stringify(level)});
      new Level(${JSON.stringify(directory)}).open().then(() => console.log('opened'));
      process.stdin.resume();`;
    const holder = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    const gone = once(holder, 'exit');
    try {
      await once(holder.stdout, 'data');
      await expect(LocalDatabase.open(directory)).rejects.toMatchObject({ code: 'BUSY' });
    } finally {
      holder.kill('SIGKILL');
      await gone;
    }
    await (await LocalDatabase.open(directory)).close();
  });

  test('damaged files are DAMAGED and stay where they are', async () => {
    const database = await LocalDatabase.open(directory);
    await database.put('x', Buffer.from('1'));
    await database.close();
    const manifest = (await readdir(directory)).find((name) => name.startsWith('MANIFEST'))!;
    await writeFile(join(directory, manifest), 'not a manifest');
    await expect(LocalDatabase.open(directory)).rejects.toMatchObject({ code: 'DAMAGED' });
    expect(await readdir(directory)).toContain(manifest);
  });

  // What the loss of a host leaves of one that has just been made: tests/power/.
  test('a damaged database whose files were never synced has promised nothing, and is begun anew', async () => {
    const database = await LocalDatabase.open(directory);
    await database.close();
    await rm(join(directory, 'settled'));
    const manifest = (await readdir(directory)).find((name) => name.startsWith('MANIFEST'))!;
    await writeFile(join(directory, manifest), '');
    const again = await LocalDatabase.open(directory);
    await again.put('x', Buffer.from('1'), { sync: true });
    expect(await readdir(directory)).toContain('settled');
    expect(await again.get('x')).toEqual(Buffer.from('1'));
    await again.close();
  });
});
