/** Requests that are sent again to a daemon after another one has died: the dispatcher over real records and replies. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../../lib/util/log.js';
import { Dispatcher } from '../../mount/fuse/dispatcher.js';
import { FsError } from '../../mount/fuse/errno.js';
import { Passthrough } from '../../mount/fuse/passthrough.js';
import { encodeEntry } from '../../mount/fuse/protocol/encode.js';
import { Opcode } from '../../mount/fuse/protocol/opcodes.js';
import { Replies } from '../../mount/fuse/replies.js';
import { RequestRecords } from '../../mount/fuse/request-records.js';
import { TroubleLog } from '../../mount/fuse/trouble-log.js';
import { MemoryDatabase } from '../helpers/memory-database.js';
import { MemoryFileSystem } from './memory-file-system.js';
import { body, requestBytes } from './request-bytes.js';

const RESENT = 1n << 63n;
const CONTROL_HANDLE = 100;
const EIO = 5;

let folder: string;
let device: number;
let database: MemoryDatabase;
let files: MemoryFileSystem;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-once-'));
  device = openSync(join(folder, 'device'), 'w');
  database = new MemoryDatabase();
  files = new MemoryFileSystem((code) => new FsError(code));
});
afterEach(() => {
  closeSync(device);
  rmSync(folder, { recursive: true });
});

/** The next daemon of the connection. */
async function daemon(): Promise<Dispatcher> {
  const replies = new Replies(device, silentLog);
  const records = await RequestRecords.open(database, 'c1');
  const passthrough = new Passthrough(undefined, silentLog);
  return new Dispatcher(files, replies, passthrough, silentLog, new TroubleLog(silentLog), records);
}

/** What the device got: one reply. */
function reply(): { unique: bigint; errno: number; body: Buffer } {
  const bytes = readFileSync(join(folder, 'device'));
  expect(bytes.readUInt32LE(0)).toBe(bytes.length);
  return { unique: bytes.readBigUInt64LE(8), errno: Math.abs(bytes.readInt32LE(4)), body: bytes.subarray(16) };
}

const mkdir = (unique: bigint) => requestBytes(Opcode.MKDIR, body([32, 0o755], [32, 0], 'new'), { unique });
const rmdir = (unique: bigint) => requestBytes(Opcode.RMDIR, body('new'), { unique });
const create = (unique: bigint) =>
  requestBytes(Opcode.CREATE, body([32, 2], [32, 0o100644], [32, 0], [32, 0], 'new'), { unique });

function controlWrite(unique: bigint): Buffer {
  const text = Buffer.from('commit\n');
  const fixed = body([64, CONTROL_HANDLE], [64, 0], [32, text.length], [32, 0], [64, 0], [32, 0], [32, 0]);
  return requestBytes(Opcode.WRITE, Buffer.concat([fixed, text]), { unique, node: 2n });
}

test('what was answered and not given is given, with the mark in its number, and nothing is done', async () => {
  const records = await RequestRecords.open(database, 'c1');
  await records.begun(40n);
  await records.answered(40n, { kind: 'body', body: Buffer.from('the answer') });
  await (await daemon()).handle(controlWrite(40n | RESENT));
  expect(reply()).toEqual({ unique: 40n | RESENT, errno: 0, body: Buffer.from('the answer') });
  expect(files.calls).toEqual([]);
});

test('a command that was begun is EIO, and not run again', async () => {
  await (await RequestRecords.open(database, 'c1')).begun(40n);
  await (await daemon()).handle(controlWrite(40n | RESENT));
  expect(reply()).toMatchObject({ unique: 40n | RESENT, errno: EIO });
  expect(files.calls).toEqual([]);
});

test('a folder or file that was made by a request that was begun is found by it', async () => {
  const { attributes } = files.nodes.get(files.add(1, 'new', 'directory'))!;
  const records = await RequestRecords.open(database, 'c1');
  await records.begun(40n);
  await (await daemon()).handle(mkdir(40n | RESENT));
  expect(reply()).toEqual({ unique: 40n | RESENT, errno: 0, body: Buffer.from(encodeEntry(attributes)) });
  expect(files.calls).toEqual(['makeDirectory', 'lookup']);
});

test('a folder that is there already is EEXIST to a request that nobody had begun', async () => {
  files.add(1, 'new', 'directory');
  await (await daemon()).handle(mkdir(40n | RESENT));
  expect(reply()).toMatchObject({ errno: 17 });
});

test('a folder that was removed by a request that was begun is gone', async () => {
  await (await RequestRecords.open(database, 'c1')).begun(40n);
  await (await daemon()).handle(rmdir(40n | RESENT));
  expect(reply()).toMatchObject({ unique: 40n | RESENT, errno: 0 });
});

test.each([
  ['mkdir', mkdir],
  ['create', create],
])('an answered %s leaves no record', async (_name, request) => {
  await (await daemon()).handle(request(40n));
  expect(reply()).toMatchObject({ unique: 40n, errno: 0 });
  // begun, answered, forgotten
  expect(database.writes).toBe(4);
  const left = await RequestRecords.open(database, 'c1');
  expect(left.earlierRun(40n)).toBeUndefined();
});
