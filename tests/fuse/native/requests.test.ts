import { describe, expect, it } from '@jest/globals';
import { constants } from 'node:os';
import { FsError } from '../../../mount/fuse/errno.js';
import { Requests } from '../../../mount/fuse/native/requests.js';
import { TroubleLog } from '../../../mount/fuse/trouble-log.js';

const { EIO, EINTR, ENOENT } = constants.errno;

function requestsWith(deadlineMs: number): { requests: Requests; logged: string[] } {
  const logged: string[] = [];
  const log = (message: string): void => void logged.push(message);
  return { requests: new Requests(deadlineMs, new TroubleLog({ info: log, warn: log, error: log })), logged };
}
/** Work that nothing but the end of its request ends. */
const untilAborted = ({ signal }: { signal: AbortSignal }): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(new FsError('EINTR'));
    });
  });

describe('a request', () => {
  it('ends with its value, or with a negative errno', async () => {
    const { requests, logged } = requestsWith(0);
    expect(await requests.perform('read', 'deadline', () => Promise.resolve(7))).toEqual({ ok: true, value: 7 });
    expect(await requests.perform('read', 'deadline', () => Promise.reject(new FsError('ENOENT')))).toEqual({
      ok: false,
      result: -ENOENT,
    });
    expect([requests.count, logged]).toEqual([2, []]);
  });

  it('that fails by a defect ends with EIO and is logged', async () => {
    const { requests, logged } = requestsWith(0);
    const outcome = await requests.perform('write', 'deadline', () => {
      throw new TypeError('a defect');
    });
    expect(outcome).toEqual({ ok: false, result: -EIO });
    expect(logged).toEqual([expect.stringContaining('write failed with EIO: a defect')]);
  });

  it('ends with EIO at its deadline, also when the work goes on', async () => {
    const { requests } = requestsWith(20);
    let aborted = false;
    const outcome = await requests.perform('read', 'deadline', ({ signal }) => {
      signal.addEventListener('abort', () => {
        aborted = true;
      });
      return new Promise<never>(() => undefined);
    });
    expect([outcome, aborted]).toEqual([{ ok: false, result: -EIO }, true]);
  });

  it('without a deadline goes on until the mount has ended', async () => {
    const { requests } = requestsWith(1);
    const outcome = requests.perform('fsync', 'as-long-as-it-takes', untilAborted);
    // One that began later and has a deadline ends before it.
    expect(await requests.perform('read', 'deadline', untilAborted)).toMatchObject({ ok: false });
    requests.abandon();
    expect(await outcome).toEqual({ ok: false, result: -EINTR });
  });
});
