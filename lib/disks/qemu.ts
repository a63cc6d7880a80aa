/**
 * Disks in containers through QEMU's own programs: `qemu-img` says what a file refers to, `qemu-nbd` serves what is in it over a
 * socket that only we can reach.
 *
 * QEMU is always told the format, since a guest can write any signature into a raw disk. A container may name other files (a backing
 * file, extents): whoever made it could read any file of this host through it. So it is refused, unless `follow` is said.
 */
import { connect, type Socket } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { Bytes } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import { NbdClient } from './nbd-client.js';
import { startProgram, type Ended, type Started } from './programs.js';
import type { Container } from './signatures.js';
import { createTemporaryFolder } from './temporary.js';

const QEMU_IMG = { command: 'qemu-img', package: 'qemu-utils' };
const QEMU_NBD = { command: 'qemu-nbd', package: 'qemu-utils' };

/** Exit statuses of `qemu-img check`. Others: all is well, clusters that nobody uses, or there is no check for the format. */
const CHECK_FAILED = 1;
const CHECK_FOUND_DAMAGE = 2;

/** How often the socket of a server that is starting is tried, milliseconds. */
const CONNECT_EVERY_MS = 5;
/** A server that has not opened its socket for so long will not. */
const CONNECT_WITHIN_MS = 30_000;

/** A container: by its path, or as a descriptor of ours that the program inherits. */
export interface ContainerFile {
  /** For messages. */
  readonly name: string;
  readonly at: { readonly path: string; readonly isDevice?: boolean } | { readonly descriptor: number };
  readonly driver: Container['driver'];
}

/** A disk that is served until it is closed. */
export interface ServedDisk {
  readonly client: NbdClient;
  /** After the last write: resolves when all is in the file. IO. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

/** Of what `qemu-img info` says. */
const information = z.object({
  'virtual-size': z.number(),
  filename: z.string(),
  'backing-filename': z.string().optional(),
  'full-backing-filename': z.string().optional(),
  'format-specific': z
    .object({
      data: z
        .object({
          'data-file': z.string().optional(),
          extents: z.array(z.object({ filename: z.string() })).optional(),
        })
        .loose(),
    })
    .optional(),
});

/** Serves the disk in a container, read-only. UNSUPPORTED (no QEMU), USAGE (it names other files), DAMAGED, BUSY (in use). */
export async function readContainer(file: ContainerFile, follow: boolean): Promise<ServedDisk> {
  await assertSound(file);
  const others = await referencesOf(file);
  if (others.length > 0 && !follow) throw refersError(file.name, others[0]!);
  const node = { ...blockNode(file), ...(others.length === 0 && hasBacking(file.driver) ? { backing: null } : {}) };
  return serve(file, ['--read-only', `json:${JSON.stringify(node)}`]);
}

/** Makes an empty container at `path`, which must not exist, and serves it for writing. `name`: for messages. UNSUPPORTED (no QEMU), IO. */
export async function createContainer(
  path: string,
  name: string,
  driver: Container['driver'],
  sizeBytes: Bytes,
): Promise<ServedDisk> {
  const file: ContainerFile = { name, at: { path }, driver };
  const options = driver === 'vpc' ? ['-o', 'force_size=on'] : [];
  const args = ['create', '-q', '-f', driver, ...options, resolve(path), String(sizeBytes)];
  const made = await (await start(file, QEMU_IMG, args, false)).ended;
  if (!made.succeeded) throw new LazydiskError('IO', `${name} can't be made: ${made.said}.`);
  return serve(file, ['--cache=writeback', `json:${JSON.stringify(blockNode(file))}`]);
}

/**
 * QEMU reads what lies behind the end of a file as zeros, so a container that was cut off would be a disk with holes in it. Its own
 * check finds that, where it has one for the format. DAMAGED, BUSY.
 */
async function assertSound(file: ContainerFile): Promise<void> {
  const program = await start(file, QEMU_IMG, ['check', '-q', `json:${JSON.stringify(blockNode(file))}`], false);
  const ended = await program.ended;
  if (ended.status === CHECK_FAILED || ended.status === CHECK_FOUND_DAMAGE) throw unreadable(file, ended);
}

/** Other files that a container names. DAMAGED, BUSY. */
async function referencesOf(file: ContainerFile): Promise<string[]> {
  const program = await start(
    file,
    QEMU_IMG,
    ['info', '--output=json', `json:${JSON.stringify(blockNode(file))}`],
    true,
  );
  const printed: Buffer[] = [];
  program.process.stdout!.on('data', (piece: Buffer) => printed.push(piece));
  const ended = await program.ended;
  if (!ended.succeeded) throw unreadable(file, ended);
  const parsed = information.safeParse(JSON.parse(Buffer.concat(printed).toString()));
  if (!parsed.success) throw new LazydiskError('UNSUPPORTED', `This qemu-img tells of ${file.name} in an unknown way.`);
  const { data } = parsed.data['format-specific'] ?? {};
  const extents = (data?.extents ?? []).map(({ filename }) => filename);
  const own = pathOf(file);
  return [
    parsed.data['full-backing-filename'] ?? parsed.data['backing-filename'],
    data?.['data-file'],
    ...extents,
  ].filter((name): name is string => name !== undefined && resolve(dirname(own), name) !== own);
}

async function serve(file: ContainerFile, args: readonly string[]): Promise<ServedDisk> {
  const folder = createTemporaryFolder();
  try {
    const path = join(folder.path, 'nbd');
    const server = await start(file, QEMU_NBD, [`--socket=${path}`, ...args], false);
    try {
      const client = await NbdClient.open(await connected(path, file, server));
      return {
        client,
        async finish() {
          await client.flush();
          client.disconnect();
          const { succeeded, said } = await server.ended;
          if (!succeeded) throw new LazydiskError('IO', `${file.name} can't be written: ${said}.`);
        },
        async close() {
          client.destroy();
          await server.end();
        },
      };
    } catch (error) {
      await server.end();
      throw error;
    }
  } finally {
    // A connection needs the name of its socket no longer.
    await folder.remove();
  }
}

/** Tries until the server listens, or has ended, which is how it says that it can't read the file. */
async function connected(path: string, file: ContainerFile, server: Started): Promise<Socket> {
  let outcome: Ended | undefined;
  void server.ended.then((ended) => (outcome = ended));
  for (let waitedMs = 0; waitedMs < CONNECT_WITHIN_MS; waitedMs += CONNECT_EVERY_MS) {
    const socket = await tryConnecting(path);
    if (socket !== undefined) return socket;
    if (outcome !== undefined) throw unreadable(file, outcome);
    await delay(CONNECT_EVERY_MS);
  }
  throw new LazydiskError('IO', `qemu-nbd did not open ${file.name} in ${String(CONNECT_WITHIN_MS / 1000)} s.`);
}

function tryConnecting(path: string): Promise<Socket | undefined> {
  return new Promise((settle) => {
    const socket = connect(path);
    socket.once('connect', () => {
      settle(socket);
    });
    socket.once('error', () => {
      settle(undefined);
    });
  });
}

function start(
  { name, at, driver }: ContainerFile,
  program: { command: string; package: string },
  args: readonly string[],
  isHeard: boolean,
): Promise<Started> {
  const why = `${name} is a disk of the format ${driver}`;
  const inherited = 'descriptor' in at ? [at.descriptor] : [];
  return startProgram(program, args, why, ['ignore', isHeard ? 'pipe' : 'ignore', 'pipe', ...inherited]);
}

/** QEMU's description of a container. */
function blockNode(file: ContainerFile): Record<string, unknown> {
  const isDevice = 'path' in file.at && file.at.isDevice === true;
  return { driver: file.driver, file: { driver: isDevice ? 'host_device' : 'file', filename: pathOf(file) } };
}

/** As the program that is started sees it: its first descriptor beside the usual ones is ours. */
function pathOf({ at }: ContainerFile): string {
  return 'path' in at ? resolve(at.path) : '/proc/self/fd/3';
}

function hasBacking(driver: Container['driver']): boolean {
  return driver === 'qcow2' || driver === 'qcow' || driver === 'vmdk';
}

function refersError(name: string, other: string): LazydiskError {
  return new LazydiskError(
    'USAGE',
    `${name} refers to another file, ${JSON.stringify(other)}; give --follow if that is to be read too, as whoever made ${name} wants it.`,
    { facts: { refersTo: other } },
  );
}

function unreadable({ name, driver }: ContainerFile, { said }: Ended): LazydiskError {
  if (said.includes('Is another process using')) {
    return new LazydiskError(
      'BUSY',
      `${name} is in use, by a running guest maybe; stop whoever writes to it and import again.`,
    );
  }
  // It repeats its name and how it was told of the file.
  const reason = said.replace(/^qemu-\w+: (Could not open '.*': )?/, '');
  return new LazydiskError('DAMAGED', `${name} can't be read as ${driver}: ${reason}.`);
}
