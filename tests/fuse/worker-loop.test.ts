import { describe, expect, it } from '@jest/globals';
import { MessageChannel } from 'node:worker_threads';
import { CONTROL_GATE, CONTROL_WORDS, type Plane } from '../../lib/image/plane.js';
import { Opcode } from '../../mount/fuse/protocol/opcodes.js';
import { PlaneTable } from '../../mount/fuse/plane-table.js';
import { serveRequests, type WorkerParts } from '../../mount/fuse/worker-loop.js';
import {
  COUNT_FORWARDED,
  COUNT_READ_BYTES,
  COUNT_READS,
  COUNT_WRITE_BYTES,
  COUNT_WRITES,
  COUNTERS,
} from '../../mount/fuse/worker-messages.js';
import { body, readRequest, requestBytes, writeRequest } from './request-bytes.js';

const MISS = -1;
const NODE = 2n ** 40n + 3n;

function plane(key: number): Plane {
  return {
    key,
    control: new Uint32Array(new SharedArrayBuffer(4 * CONTROL_WORDS)),
    writable: true,
    chunkSizeBytes: 65536,
    slots: null,
    slotCount: 0,
    slotDescriptor: -1,
    slotReferenced: null,
    touches: null,
    layers: [],
  };
}

const errno = (code: string) => Object.assign(new Error(code), { code });

/** A device with the given requests (or errors of its read); then it is unmounted. */
function run(requests: (Buffer | Error)[], changes: Partial<WorkerParts> = {}) {
  const queue = [...requests];
  const words = new Int32Array(new SharedArrayBuffer(64));
  const counters = new Float64Array(new SharedArrayBuffer(8 * COUNTERS));
  const seen = {
    replies: [] as Buffer[],
    forwarded: [] as Buffer[],
    trouble: [] as string[],
    served: [] as unknown[],
    wordsAtReceive: [] as number[],
    wordsWhileServing: [] as number[],
    counters,
    words,
  };
  const known = plane(Number(NODE));
  serveRequests({
    receive: (buffer) => {
      seen.wordsAtReceive.push(words[0]!);
      const next = queue.shift() ?? errno('ENODEV');
      if (next instanceof Error) throw next;
      next.copy(buffer);
      return next.length;
    },
    reply: (buffer, lengthBytes) => {
      seen.replies.push(Buffer.from(buffer.subarray(0, lengthBytes)));
    },
    refresh: () => {
      seen.wordsWhileServing.push(words[0]!);
      return true;
    },
    isCurrent: () => true,
    find: (node) => (node === known.key ? known : undefined),
    serveRead: (_plane, offset, length, out, outPosition) => {
      seen.served.push(['read', offset, length]);
      out.fill(7, outPosition, outPosition + length);
      return length;
    },
    serveWrite: (_plane, bytes, position, offset, length) => {
      seen.served.push(['write', offset, bytes.toString('utf8', position, position + length)]);
      return length;
    },
    miss: MISS,
    refusesResent: false,
    forward: (bytes) => {
      seen.forwarded.push(Buffer.from(bytes));
    },
    trouble: (message) => {
      seen.trouble.push(message);
    },
    words,
    wordIndex: 0,
    counters,
    ...changes,
  });
  return seen;
}

const HEADER = { node: NODE, unique: (1n << 63n) | 5n };
const replyOf = (bytes: Buffer) => ({
  length: bytes.readUInt32LE(0),
  errno: 0 - bytes.readInt32LE(4),
  unique: bytes.readBigUInt64LE(8),
});

describe('the loop of a worker', () => {
  it('answers a READ of a known plane with all its bytes', () => {
    const seen = run([readRequest(2 ** 40 + 4096, 8192, HEADER)]);
    expect(seen.served).toEqual([['read', 2 ** 40 + 4096, 8192]]);
    expect(seen.replies).toHaveLength(1);
    expect(replyOf(seen.replies[0]!)).toEqual({ length: 16 + 8192, errno: 0, unique: HEADER.unique });
    expect(seen.replies[0]!.subarray(16).every((byte) => byte === 7)).toBe(true);
    expect([seen.counters[COUNT_READS], seen.counters[COUNT_READ_BYTES]]).toEqual([1, 8192]);
  });

  it('answers a WRITE of a known plane with its length', () => {
    const seen = run([writeRequest(2 ** 33, Buffer.from('some bytes'), HEADER)]);
    expect(seen.served).toEqual([['write', 2 ** 33, 'some bytes']]);
    expect(replyOf(seen.replies[0]!)).toEqual({ length: 24, errno: 0, unique: HEADER.unique });
    expect(seen.replies[0]!.readUInt32LE(16)).toBe(10);
    expect([seen.counters[COUNT_WRITES], seen.counters[COUNT_WRITE_BYTES]]).toEqual([1, 10]);
  });

  it('forwards what is a miss, of an unknown node, or any other operation, as it came and unanswered', () => {
    const requests = [
      readRequest(0, 4096, { ...HEADER, node: 9n }),
      writeRequest(0, Buffer.from('x'), { ...HEADER, node: 9n }),
      requestBytes(Opcode.GETATTR, body([64, 0], [64, 0]), HEADER),
      requestBytes(Opcode.INTERRUPT, body([64, 5]), HEADER),
    ];
    const seen = run(requests);
    expect(seen.forwarded).toEqual(requests);
    expect(seen.replies).toEqual([]);
    expect(seen.counters[COUNT_FORWARDED]).toBe(4);
    const misses = [readRequest(0, 4096, HEADER), writeRequest(0, Buffer.from('x'), HEADER)];
    const missed = run(misses, { serveRead: () => MISS, serveWrite: () => MISS });
    expect(missed.forwarded).toEqual(misses);
    expect(missed.replies).toEqual([]);
  });

  it('uses no plane while its table is behind', () => {
    const requests = [readRequest(0, 4096, HEADER), writeRequest(0, Buffer.from('x'), HEADER)];
    const seen = run(requests, { refresh: () => false });
    expect(seen.served).toEqual([]);
    expect(seen.forwarded).toEqual(requests);
  });

  it('looks for the plane again when newer ones came after its gate was loaded', () => {
    const newer = plane(Number(NODE));
    const found = [plane(Number(NODE)), newer];
    const used: Plane[] = [];
    const seen = run([readRequest(0, 4096, HEADER)], {
      find: () => found.shift(),
      isCurrent: () => found.length === 0,
      serveRead: (one, _offset, length) => {
        used.push(one);
        return length;
      },
    });
    expect(used).toEqual([newer]);
    expect(used[0]).toBe(newer);
    expect(seen.replies).toHaveLength(1);
  });

  it('forwards what meets a gate', () => {
    const closed = plane(Number(NODE));
    closed.control[CONTROL_GATE] = 1;
    const requests = [readRequest(0, 4096, HEADER), writeRequest(0, Buffer.from('x'), HEADER)];
    const seen = run(requests, { find: () => closed });
    expect(seen.served).toEqual([]);
    expect(seen.forwarded).toEqual(requests);
  });

  it('forwards offsets that are not exact, and a WRITE that is shorter than it says', () => {
    const short = Buffer.from(writeRequest(0, Buffer.from('some bytes'), HEADER).subarray(0, 85));
    short.writeUInt32LE(85, 0);
    const requests = [readRequest(2n ** 53n, 1, HEADER), writeRequest(2n ** 60n, Buffer.from('x'), HEADER), short];
    const seen = run(requests);
    expect(seen.served).toEqual([]);
    expect(seen.forwarded).toEqual(requests);
  });

  it('forwards a READ in which the disk fails, and a WRITE for which it is full; any other failure of a WRITE is EIO', () => {
    const request = writeRequest(0, Buffer.from('x'), HEADER);
    for (const code of ['ENOSPC', 'EDQUOT']) {
      const seen = run([request], {
        serveWrite: () => {
          throw errno(code);
        },
      });
      expect([seen.forwarded, seen.replies]).toEqual([[request], []]);
    }
    const failing = (): number => {
      throw errno('EIO');
    };
    const seen = run([request, readRequest(0, 4096, HEADER), readRequest(0, 1, { ...HEADER, node: 9n })], {
      serveWrite: failing,
      serveRead: failing,
    });
    expect(seen.replies.map(replyOf)).toEqual([{ length: 16, errno: 5, unique: HEADER.unique }]);
    expect(seen.forwarded).toHaveLength(2);
    expect(seen.trouble).toHaveLength(1);
  });

  it('drops FORGETs', () => {
    const seen = run([
      requestBytes(Opcode.FORGET, body([64, 1])),
      requestBytes(Opcode.BATCH_FORGET, body([32, 1], [32, 0], [64, 2], [64, 1])),
    ]);
    expect([seen.forwarded, seen.replies]).toEqual([[], []]);
  });

  it('says busy, with an odd word that was never seen before, from the read of a request to its reply', () => {
    const seen = run([readRequest(0, 4096, HEADER), errno('EINTR'), readRequest(0, 4096, HEADER)]);
    expect(seen.wordsAtReceive).toEqual([0, 2, 2, 4]);
    expect(seen.wordsWhileServing).toEqual([1, 3]);
    expect(seen.words[0]).toBe(4);
  });

  it('goes on after ENOENT, EINTR and EAGAIN of the device, and throws what else it says', () => {
    const seen = run([errno('ENOENT'), errno('EINTR'), errno('EAGAIN'), readRequest(0, 4096, HEADER)]);
    expect(seen.replies).toHaveLength(1);
    expect(() => run([errno('EBADF')])).toThrow('EBADF');
    expect(() => run([Buffer.alloc(20)])).toThrow(/whole header/);
  });

  it('lets a reply go whose request was aborted, repeats one that was not taken, and answers EIO for a refused one', () => {
    const outcomes = (codes: string[]) => {
      const lengths: number[] = [];
      const seen = run([readRequest(0, 4096, HEADER), readRequest(0, 4096, HEADER)], {
        reply: (_buffer, lengthBytes) => {
          lengths.push(lengthBytes);
          const code = codes.shift();
          if (code !== undefined) throw errno(code);
        },
      });
      return { lengths, trouble: seen.trouble.length };
    };
    expect(outcomes(['ENOENT'])).toEqual({ lengths: [4112, 4112], trouble: 0 });
    expect(outcomes(['EINTR', 'ENOMEM'])).toEqual({ lengths: [4112, 4112, 4112, 4112], trouble: 0 });
    expect(outcomes(['EINVAL'])).toEqual({ lengths: [4112, 16, 4112], trouble: 1 });
  });
});

describe('PlaneTable', () => {
  it('takes what was published before the generation was raised', () => {
    const { port1, port2 } = new MessageChannel();
    const generation = new Int32Array(new SharedArrayBuffer(4));
    const table = new PlaneTable(port2, generation);
    try {
      port1.postMessage({ kind: 'publish', generation: 1, plane: plane(5) });
      expect(table.refresh()).toBe(true);
      expect(table.find(5)).toBeUndefined();
      generation[0] = 1;
      expect(table.refresh()).toBe(true);
      expect(table.find(5)?.key).toBe(5);
      port1.postMessage({ kind: 'withdraw', generation: 2, key: 5 });
      generation[0] = 2;
      expect(table.refresh()).toBe(true);
      expect(table.find(5)).toBeUndefined();
    } finally {
      port1.close();
    }
  });

  it('says that it is behind when the message has not come', () => {
    const { port1, port2 } = new MessageChannel();
    const generation = new Int32Array(new SharedArrayBuffer(4));
    const table = new PlaneTable(port2, generation);
    try {
      generation[0] = 1;
      expect(table.refresh()).toBe(false);
      port1.postMessage({ kind: 'publish', generation: 1, plane: plane(5) });
      expect(table.refresh()).toBe(true);
    } finally {
      port1.close();
    }
  });
});
