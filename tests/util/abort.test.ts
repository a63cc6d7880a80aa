import { describe, expect, test } from '@jest/globals';
import { resolve } from 'node:path';
import { orAborted } from '../../lib/util/abort.js';
import { run } from '../helpers/processes.js';

describe('orAborted', () => {
  test('lets hundreds wait with one signal, none of which stays, and Node does not warn of a leak', async () => {
    const program = `
      import { getEventListeners } from 'node:events';
      import { orAborted } from ${JSON.stringify(`file://${resolve('dist/lib/util/abort.js')}`)};
      const { signal } = new AbortController();
      const shared = new Promise((done) => setImmediate(done));
      const waits = Array.from({ length: 300 }, () => orAborted(shared, signal));
      console.log(getEventListeners(signal, 'abort').length);
      await Promise.all(waits);
      console.log(getEventListeners(signal, 'abort').length);
    `;
    expect(
      await run(process.execPath, ['--input-type=module', '-e', program], { env: { NODE_OPTIONS: undefined } }),
    ).toMatchObject({ status: 0, stdout: '300\n0\n', stderr: '' });
  });

  test('a caller who leaves gets ABORTED, and the others their result', async () => {
    const leaver = new AbortController();
    let finish: (value: string) => void = () => undefined;
    const shared = new Promise<string>((resolve) => (finish = resolve));
    const left = orAborted(shared, leaver.signal);
    const stayed = orAborted(shared, new AbortController().signal);
    leaver.abort();
    await expect(left).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(orAborted(shared, leaver.signal)).rejects.toMatchObject({ code: 'ABORTED' });
    finish('done');
    expect(await stayed).toBe('done');
  });
});
