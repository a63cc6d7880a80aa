import { expect, test } from '@jest/globals';
import { join } from 'node:path';
import { sendDatagram } from '../../lib/util/datagram.js';
import { tellServiceManager } from '../../mount/service/service-manager.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { datagramSocket } from '../helpers/datagram-socket.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const READY = { mainPid: 4711, status: 's3://a/b is mounted on /mnt' };

test.each(['path', 'abstract name'])(
  'a service manager at a socket with a %s hears what it asked for',
  async (kind) => {
    const path = join(temporaryFolder('notify'), 'socket');
    const address = kind === 'path' ? path : `@${path}`;
    const socket = datagramSocket(address);
    expect(await tellServiceManager(READY, { NOTIFY_SOCKET: address })).toBeUndefined();
    expect(socket.receive()).toBe('READY=1\nMAINPID=4711\nSTATUS=s3://a/b is mounted on /mnt');
    expect(await tellServiceManager({ ...READY, mainPid: null }, { NOTIFY_SOCKET: address })).toBeUndefined();
    expect(socket.receive()).toBe('READY=1\nSTATUS=s3://a/b is mounted on /mnt');
    expect(socket.receive()).toBeUndefined();
  },
);

test('nobody is told where nobody asked', async () => {
  expect(await tellServiceManager(READY, {})).toBeUndefined();
  expect(await tellServiceManager(READY, { NOTIFY_SOCKET: '' })).toBeUndefined();
});

test('a socket that nobody listens at is a reason, not an error', async () => {
  const path = join(temporaryFolder('notify'), 'socket');
  expect(await tellServiceManager(READY, { NOTIFY_SOCKET: path })).toBe(`ENOENT: sendto ${path}`);
  expect(() => {
    sendDatagram(`/${'x'.repeat(120)}`, 'READY=1');
  }).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});
