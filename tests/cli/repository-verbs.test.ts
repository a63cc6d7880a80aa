import { beforeEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { must, run } from '../helpers/processes.js';
import { lazydisk, lazydiskJson, mustLazydisk } from '../helpers/program.js';
import { temporaryFolder } from '../helpers/temporary.js';

const MIB = 1024 * 1024;

cleanUpAfter('each');

let folder: string;
let url: string;
let env: Record<string, string | undefined>;
beforeEach(() => {
  folder = temporaryFolder('cli');
  url = `file://${join(folder, 'repository')}`;
  env = {
    HOME: folder,
    LAZYDISK_RUNTIME_DIR: join(folder, 'run'),
    AWS_ACCESS_KEY_ID: undefined,
    AWS_SECRET_ACCESS_KEY: undefined,
    AWS_ENDPOINT_URL: undefined,
    AWS_ENDPOINT_URL_S3: undefined,
    AWS_PROFILE: undefined,
  };
});

/** A sparse file of 8 MiB with 1 MiB of data in its middle. */
async function rawFile(name = 'disk.raw'): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, '');
  await truncate(path, 8 * MIB);
  const file = await open(path, 'r+');
  await file.write(randomBytes(MIB), 0, MIB, 3 * MIB);
  await file.close();
  return path;
}

async function checksum(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path) as AsyncIterable<Buffer>) hash.update(part);
  return hash.digest('hex');
}

/** The status and the one sentence of a failure. */
async function failure(...words: string[]): Promise<{ status: number | null; sentence: string }> {
  const { status, stdout, stderr } = await lazydisk(words, { env });
  expect(stdout).toBe('');
  const [sentence = ''] = stderr.split('\n');
  expect(sentence).toMatch(/^lazydisk: .*[.)]$/);
  expect(stderr).not.toMatch(/^\s+at /m);
  return { status, sentence };
}

test('a disk goes into a repository and comes out the same, through every verb', async () => {
  const disk = await rawFile();
  expect(await lazydiskJson(['init', url, '--chunk-size', '64K'], { env })).toMatchObject({
    created: true,
    chunkSizeBytes: 65_536,
  });
  expect(await lazydiskJson(['import', url, disk, 'debian', '--label', 'first'], { env })).toMatchObject({
    image: 'debian',
    number: 1,
    sizeBytes: 8 * MIB,
    allocatedBytes: MIB,
  });
  expect(await lazydiskJson(['import', url, disk, 'debian'], { env })).toMatchObject({ number: 2 });
  expect(await lazydiskJson(['clone', url, 'debian@1', 'vm'], { env })).toMatchObject({
    image: 'vm',
    number: 1,
    source: { image: 'debian', number: 1 },
  });

  const copy = join(folder, 'copy.raw');
  expect(await lazydiskJson(['export', url, 'vm', copy], { env })).toMatchObject({ image: 'vm', number: 1 });
  expect(await checksum(copy)).toBe(await checksum(disk));
  expect((await stat(copy)).blocks * 512).toBeLessThan(2 * MIB);

  const listing = (await lazydiskJson(['list', url], { env })) as { images: { image: string; snapshots: object[] }[] };
  expect(listing.images.map(({ image, snapshots }) => [image, snapshots.length])).toEqual([
    ['debian', 2],
    ['vm', 1],
  ]);
  expect(await mustLazydisk(['list', url, 'debian'], { env })).toMatch(/debian@1 .*8 MiB .*1 MiB .*first/);

  expect(await lazydiskJson(['delete', url, 'debian@1', '--yes'], { env })).toEqual({
    image: 'debian',
    deleted: [1],
    untagged: [],
  });
  expect(await lazydiskJson(['delete', url, 'debian', '--yes'], { env })).toEqual({
    image: 'debian',
    deleted: [2],
    untagged: [],
  });
  expect(await lazydiskJson(['verify', url], { env })).toMatchObject({ damages: [], images: expect.any(Number) });
  expect(await lazydiskJson(['verify', url, 'vm'], { env })).toMatchObject({ damages: [] });
  expect(await lazydiskJson(['unlock', url, 'vm'], { env })).toEqual({ image: 'vm', unlocked: false, lock: null });
});

test('init that finds a repository says so and changes nothing', async () => {
  await mustLazydisk(['init', url], { env });
  const before = await readdir(join(folder, 'repository'), { recursive: true });
  expect(await mustLazydisk(['init', url], { env })).toContain('already');
  expect(await lazydiskJson(['init', url], { env })).toMatchObject({ created: false });
  expect(await readdir(join(folder, 'repository'), { recursive: true })).toEqual(before);
  expect(await failure('init', url, '--chunk-size', '1M')).toMatchObject({ status: 4 });
});

test('upgrade allows compression where a repository was made without it', async () => {
  expect(await lazydiskJson(['init', url, '--compression', 'none'], { env })).toMatchObject({ compression: 'none' });
  expect(await failure('init', url, '--compression', 'zstd')).toMatchObject({ status: 4 });
  expect(await lazydiskJson(['upgrade', url], { env })).toMatchObject({ compression: 'zstd', added: ['zstd'] });
  expect(await mustLazydisk(['upgrade', url], { env })).toContain('nothing was changed');
  const path = join(folder, 'text.raw');
  await writeFile(path, 'the same line again\n'.repeat(100_000));
  const { allocatedBytes, uploadedBytes } = (await lazydiskJson(['import', url, path, 'vm'], { env })) as {
    allocatedBytes: number;
    uploadedBytes: number;
  };
  expect(uploadedBytes).toBeLessThan(allocatedBytes / 50);
});

test('standard input and output are files too', async () => {
  const disk = await rawFile();
  await mustLazydisk(['init', url], { env });
  const program = `node ${join('dist', 'mount', 'cli', 'main.js')}`;
  await must('sh', ['-c', `${program} import '${url}' - vm < '${disk}'`], { env });
  const copy = join(folder, 'copy.raw');
  await must('sh', ['-c', `${program} export '${url}' vm - > '${copy}'`], { env });
  expect(await checksum(copy)).toBe(await checksum(disk));
});

test('output that can not be written is an error, and a reader that has seen enough is none', async () => {
  const disk = await rawFile();
  await mustLazydisk(['init', url], { env });
  await mustLazydisk(['import', url, disk, 'vm'], { env });
  const program = `node ${join('dist', 'mount', 'cli', 'main.js')}`;
  for (const words of [`list '${url}'`, `export '${url}' vm -`]) {
    const full = await run('sh', ['-c', `${program} ${words} > /dev/full`], { env });
    expect(full).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^lazydisk: The output can't be written: .*\.\n/),
    });
    const piped = await run('bash', ['-o', 'pipefail', '-c', `${program} ${words} | head -c 10`], { env });
    expect(piped).toMatchObject({ status: 0 });
  }
});

test('a damaged repository: verify lists the object and ends with status 6', async () => {
  const disk = await rawFile();
  await mustLazydisk(['init', url], { env });
  await mustLazydisk(['import', url, disk, 'vm'], { env });
  const segments = join(folder, 'repository', 'segments');
  const sizes = await Promise.all(
    (await readdir(segments)).map(async (name) => ({ name, size: (await stat(join(segments, name))).size })),
  );
  const [largest] = sizes.sort((a, b) => b.size - a.size);
  const file = await open(join(segments, largest?.name ?? ''), 'r+');
  await file.write('damage', 1000);
  await file.close();
  const { status, stdout, stderr } = await lazydisk(['verify', url, '--json'], { env });
  expect(status).toBe(6);
  const report = JSON.parse(stdout) as { damages: { object: string }[] };
  expect(report.damages.map(({ object }) => object)).toContain(`segments/${largest?.name ?? ''}`);
  expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'DAMAGED' } });
});

describe('one clear sentence and the right status', () => {
  test('for a folder that is no repository, and one that does not exist', async () => {
    await mkdir(join(folder, 'repository'));
    expect(await failure('list', url)).toMatchObject({ status: 3, sentence: expect.stringContaining('lazydisk init') });
    expect(await failure('list', `${url}-none`)).toMatchObject({ status: 3 });
  });

  test('for images and snapshots that are not there', async () => {
    await mustLazydisk(['init', url], { env });
    for (const words of [
      ['list', url, 'vm'],
      ['export', url, 'vm', join(folder, 'x')],
      ['export', url, 'vm@3', join(folder, 'x')],
      ['clone', url, 'vm', 'new'],
      ['clone', url, 'vm@2', 'new'],
      ['delete', url, 'vm@2', '--yes'],
      ['delete', url, 'vm', '--yes'],
      ['verify', url, 'vm'],
      ['unlock', url, 'vm'],
    ]) {
      expect({ words, ...(await failure(...words)) }).toMatchObject({
        status: 3,
        sentence: expect.stringContaining('vm'),
      });
    }
  });

  test('for what exists already', async () => {
    const disk = await rawFile();
    await mustLazydisk(['init', url], { env });
    await mustLazydisk(['import', url, disk, 'vm'], { env });
    expect(await failure('import', url, disk, 'vm', '--new')).toMatchObject({ status: 4 });
    expect(await failure('clone', url, 'vm', 'vm')).toMatchObject({ status: 4 });
    expect(await failure('export', url, 'vm', disk)).toMatchObject({ status: 4 });
  });

  test('for a rate at which an upload would be taken for dead', async () => {
    expect(await failure('import', url, await rawFile(), 'vm', '--max-upload', '1K')).toEqual({
      status: 2,
      sentence: 'lazydisk: --max-upload must be at least 256 KiB a second, not 1K.',
    });
  });

  test('for a file that is missing, a folder, or another format', async () => {
    await mustLazydisk(['init', url], { env });
    expect(await failure('import', url, join(folder, 'none'), 'vm')).toMatchObject({ status: 3 });
    expect(await failure('import', url, folder, 'vm', '--format', 'raw')).toMatchObject({ status: 2 });
    const qcow2 = join(folder, 'disk.qcow2');
    await writeFile(qcow2, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(MIB)]));
    expect(await failure('import', url, qcow2, 'vm')).toMatchObject({
      status: 6,
      sentence: `lazydisk: ${qcow2} can't be read as qcow2: Unsupported qcow2 version 0.`,
    });
    expect(await failure('list', url, 'vm')).toMatchObject({ status: 3 });
    await mustLazydisk(['import', url, qcow2, 'vm', '--format', 'raw'], { env });
  });

  test('for deleting without being asked', async () => {
    const disk = await rawFile();
    await mustLazydisk(['init', url], { env });
    await mustLazydisk(['import', url, disk, 'vm'], { env });
    expect(await failure('delete', url, 'vm')).toMatchObject({ status: 2, sentence: expect.stringContaining('--yes') });
    expect(await mustLazydisk(['list', url], { env })).toContain('vm');
  });

  test('for a server that refuses connections', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    env = { ...env, AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'very-secret-words' };
    const endpoint = `http://127.0.0.1:${String(port)}`;
    const refused = await failure('list', 's3://bucket/prefix', '--endpoint', endpoint, '--timeout', '1');
    expect(refused).toMatchObject({ status: 5, sentence: expect.stringContaining('127.0.0.1') });
    expect(refused.sentence).not.toContain('very-secret-words');
  });

  test('for missing credentials', async () => {
    expect(await failure('list', 's3://bucket', '--endpoint', 'http://127.0.0.1:1')).toMatchObject({ status: 5 });
  });

  test('for a server that talks something else', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.resume();
      socket.end('220 smtp ready\r\n');
    }).listen(0, '127.0.0.1');
    undoLater(
      () =>
        new Promise((resolve) =>
          server.close(() => {
            resolve();
          }),
        ),
    );
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    env = { ...env, AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };
    const words = ['list', 's3://bucket', '--endpoint', `http://127.0.0.1:${String(port)}`, '--timeout', '1'];
    expect(await failure(...words)).toMatchObject({ status: 5 });
  });

  test('for verbs that need a head and are given a repository', async () => {
    for (const words of [
      ['commit', url, 'vm'],
      ['revert', url, 'vm'],
      ['status', url],
      ['clone', url, 'vm', 'new', '--commit'],
    ]) {
      expect(await failure(...words)).toMatchObject({
        status: 2,
        sentence: expect.stringMatching(/takes a mountpoint, not a repository/),
      });
    }
    for (const words of [['unmount', url], ...(process.getuid?.() === 0 ? [['mount', url, url]] : [])]) {
      expect(await failure(...words)).toMatchObject({
        status: 2,
        sentence: expect.stringContaining('Expected a mountpoint'),
      });
    }
  });

  test('for paths that are no mounts', async () => {
    for (const words of [
      ['list', folder],
      ['commit', folder, 'vm'],
      ['status', join(folder, 'none')],
      ['unmount', join(folder, 'none')],
    ]) {
      expect(await failure(...words)).toMatchObject({ status: 3 });
    }
    expect(await mustLazydisk(['unmount', folder], { env })).toContain('nothing of lazydisk is mounted');
  });

  test('for a mountpoint that is a file, not empty, or missing', async () => {
    await mustLazydisk(['init', url], { env });
    const file = await rawFile();
    const state = ['--state', join(folder, 'state')];
    const root = process.getuid?.() === 0;
    expect(await failure('mount', url, file, ...state)).toMatchObject({ status: root ? 2 : 1 });
    expect(await failure('mount', url, folder, ...state)).toMatchObject({ status: root ? 2 : 1 });
    expect(await failure('mount', url, join(folder, 'none'), ...state)).toMatchObject({ status: root ? 3 : 1 });
  });
});

test('credentials are in no output, also not with --json', async () => {
  env = { ...env, AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'very-secret-words' };
  const { stdout, stderr } = await lazydisk(
    ['init', 's3://b/p', '--endpoint', 'http://127.0.0.1:1', '--timeout', '1', '--json'],
    { env },
  );
  expect(stdout + stderr).not.toContain('very-secret-words');
  expect(await readFile(join(folder, 'run'), 'utf8').catch(() => '')).toBe('');
});

test('an import that is interrupted while it waits for input gives up, and the image does not exist', async () => {
  await mustLazydisk(['init', url], { env });
  const importing = spawn(process.execPath, ['dist/mount/cli/main.js', 'import', url, '-', 'vm'], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let said = '';
  importing.stderr.on('data', (part: Buffer) => (said += part.toString()));
  const closed = once(importing, 'close');
  // More than any pipe holds: once it is written, the import reads.
  await new Promise((resolve) => importing.stdin.write(Buffer.alloc(4 * MIB), resolve));
  importing.stdin.on('error', () => undefined);
  importing.kill('SIGINT');
  expect(await closed).toEqual([1, null]);
  expect(said).toBe('lazydisk: Interrupted: the work was given up.\n');
  expect(await failure('list', url, 'vm')).toMatchObject({ status: 3 });
});

test('an import that is interrupted while a server is silent gives up, in one sentence too', async () => {
  await mustLazydisk(['init', url], { env });
  const server = createHttpServer((_, response) => {
    response.writeHead(200, { 'content-length': 8 * MIB }).write(Buffer.alloc(4 * MIB, 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const disk = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/disk.raw`;
  const importing = spawn(process.execPath, ['dist/mount/cli/main.js', 'import', url, disk, 'vm'], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  importing.stderr.on('data', (part: Buffer) => (said += part.toString()));
  const closed = once(importing, 'close');
  await once(server, 'request');
  // Its answer is on the way; whenever it is interrupted from here on, it says the same.
  importing.kill('SIGINT');
  expect(await closed).toEqual([1, null]);
  expect(said).toBe('lazydisk: Interrupted: the work was given up.\n');
  server.closeAllConnections();
  server.close();
});

/** As if everything below it had been put two hours ago. */
async function age(...path: string[]): Promise<void> {
  const folderOfKeys = join(folder, 'repository', ...path);
  const before = Date.now() / 1000 - 7200;
  for (const entry of await readdir(folderOfKeys, { recursive: true })) {
    await utimes(join(folderOfKeys, entry), before, before);
  }
}

// S53, S54
test('a deleted snapshot can be undeleted until gc has found its grace over, and its space comes back a grace later', async () => {
  const disk = await rawFile();
  await mustLazydisk(['init', url], { env });
  await mustLazydisk(['import', url, disk, 'debian'], { env });
  await mustLazydisk(['delete', url, 'debian@1', '--yes'], { env });
  expect(await lazydiskJson(['gc', url, '--grace', '1h'], { env })).toMatchObject({
    condemned: { segments: 0 },
    living: { segments: 2, deadBytes: 0 },
  });
  expect(await lazydiskJson(['undelete', url, 'debian@1'], { env })).toEqual({ image: 'debian', number: 1 });
  const copy = join(folder, 'copy.raw');
  await mustLazydisk(['export', url, 'debian', copy], { env });
  expect(await checksum(copy)).toBe(await checksum(disk));

  await mustLazydisk(['delete', url, 'debian@1', '--yes'], { env });
  await age('images');
  expect(await lazydiskJson(['gc', url, '--grace', '1h', '--dry-run'], { env })).toMatchObject({
    condemned: { segments: 2 },
    finalisedTombstones: 0,
  });
  expect(await lazydiskJson(['gc', url, '--grace', '1h'], { env })).toMatchObject({
    condemned: { segments: 2 },
    finalisedTombstones: 1,
  });
  expect(await failure('undelete', url, 'debian@1')).toMatchObject({
    status: 3,
    sentence: expect.stringContaining('too long ago'),
  });
  await age('condemned');
  const said = await mustLazydisk(['gc', url, '--grace', '1h'], { env });
  expect(said).toMatch(/^removed: 1 MiB in 2 segments\n/);
  expect(await readdir(join(folder, 'repository', 'segments'))).toEqual([]);
  expect(await lazydiskJson(['import', url, disk, 'debian'], { env })).toMatchObject({ number: 2 });
  expect(await failure('gc', url, '--grace', '59m')).toMatchObject({ status: 2 });
  expect(await failure('gc', url, '--grace', 'soon')).toMatchObject({ status: 2 });
  expect(await failure('undelete', url, 'debian')).toMatchObject({ status: 2 });
});
