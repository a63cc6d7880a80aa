import { describe, expect, it } from '@jest/globals';
import { Callers, hasDeadlySignal } from '../../mount/fuse/callers.js';

const header = (unique: bigint, pid = 77) => ({ opcode: 15, unique, node: 2, uid: 0, gid: 0, pid });
const fired = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener('abort', () => {
        resolve();
      });
  });

describe('Callers', () => {
  it('fires at once for a control file', () => {
    const callers = new Callers(() => Promise.resolve(false));
    const caller = callers.begin(header(2n), 'at-once');
    callers.interrupt(2n);
    expect(caller.signal.aborted).toBe(true);
  });

  it('fires for data only once the caller is being killed', async () => {
    const asked: number[] = [];
    const callers = new Callers((pid) => {
      asked.push(pid);
      return Promise.resolve(asked.length === 3);
    });
    const caller = callers.begin(header(2n), 'when-killed');
    callers.interrupt(2n);
    expect(caller.signal.aborted).toBe(false);
    await fired(caller.signal);
    expect(asked).toEqual([77, 77, 77]);
  });

  it('asks nobody before an interrupt, nor after the request has ended', async () => {
    const asked: number[] = [];
    const callers = new Callers((pid) => {
      asked.push(pid);
      return Promise.resolve(pid === 5);
    });
    callers.begin(header(2n, 4), 'when-killed');
    callers.begin(header(4n, 6), 'when-killed');
    callers.interrupt(4n);
    callers.end(4n);
    const last = callers.begin(header(6n, 5), 'when-killed');
    callers.interrupt(6n);
    await fired(last.signal);
    expect(asked).toEqual([5]);
  });

  it('watches a request without an interrupt once it has waited', async () => {
    const callers = new Callers(() => Promise.resolve(true));
    await fired(callers.begin(header(2n), 'when-killed').signal);
  });

  it('remembers an interrupt that comes before its request', () => {
    const callers = new Callers();
    callers.interrupt(2n);
    expect(callers.begin(header(2n), 'at-once').signal.aborted).toBe(true);
    expect(callers.begin(header(4n), 'at-once').signal.aborted).toBe(false);
  });

  it('fires for everybody when the connection is gone', () => {
    const callers = new Callers();
    const caller = callers.begin(header(2n), 'when-killed');
    callers.fireAll();
    expect(caller.signal.aborted).toBe(true);
  });
});

describe('hasDeadlySignal', () => {
  it('sees SIGKILL for the thread and for the process, and no other signal', () => {
    const status = (thread: string, process: string) =>
      `Name:\tx\nSigPnd:\t${thread}\nShdPnd:\t${process}\nSigBlk:\t0100\n`;
    expect(hasDeadlySignal(status('0000000000000000', '0000000000000000'))).toBe(false);
    expect(hasDeadlySignal(status('0000000000000100', '0000000000000000'))).toBe(true);
    expect(hasDeadlySignal(status('0000000000000000', '0000000000004100'))).toBe(true);
    expect(hasDeadlySignal(status('0000000000004002', '0000000000000200'))).toBe(false);
  });
});
