import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyDescriptor, receiveDescriptor, socketPair } from '../../lib/util/descriptors.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-descriptors-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test('what a child has open can be copied, and lives on without the child', async () => {
  const path = join(folder, 'file');
  writeFileSync(path, 'before');
  const file = openSync(path, 'a');
  const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', file] });
  closeSync(file);
  const copy = copyDescriptor(child.pid!, 3);
  child.kill('SIGKILL');
  await once(child, 'exit');
  writeSync(copy, ' and after');
  expect(readFileSync(path, 'utf8')).toBe('before and after');
  expect(readFileSync(`/proc/self/fdinfo/${String(copy)}`, 'utf8')).toMatch(/flags:\s+02\d{6}\n/); // close-on-exec
  closeSync(copy);
  expect(() => copyDescriptor(child.pid!, 3)).toThrow(
    expect.objectContaining({ code: 'ESRCH', syscall: 'pidfd_open' }),
  );
});

test('a descriptor that the process does not have is an error', () => {
  expect(() => copyDescriptor(process.pid, 100_000)).toThrow(expect.objectContaining({ code: 'EBADF' }));
});

test('a socket that nothing came over says so, and bytes alone are no descriptor', () => {
  const [ours, theirs] = socketPair();
  expect(readlinkSync(`/proc/self/fd/${String(ours)}`)).toMatch(/^socket:/);
  expect(() => receiveDescriptor(ours)).toThrow(expect.objectContaining({ code: 'EAGAIN', syscall: 'recvmsg' }));
  writeSync(theirs, 'x');
  expect(receiveDescriptor(ours)).toBeUndefined();
  closeSync(theirs);
  expect(receiveDescriptor(ours)).toBeUndefined();
  closeSync(ours);
});
