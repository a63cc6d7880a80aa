import { beforeEach, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { file, LayoutBuilder, tarOf } from '../helpers/oci-layouts.js';
import { childrenOf, isAlive, must, start } from '../helpers/processes.js';
import { lazydiskJson, mustLazydisk } from '../helpers/program.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

const MIB = 1024 * 1024;

cleanUpAfter('each');

let folder: string;
let temporary: string;
let url: string;
let env: Record<string, string>;
beforeEach(async () => {
  folder = temporaryFolder('ends');
  temporary = temporaryFolder('ends-tmp');
  url = `file://${join(folder, 'repository')}`;
  env = { HOME: folder, LAZYDISK_RUNTIME_DIR: join(folder, 'run'), TMPDIR: temporary };
  await mustLazydisk(['init', url], { env });
});

/** A process and all that it has started, and that they have. */
async function familyOf(pid: number): Promise<number[]> {
  const children = await childrenOf(pid);
  return [pid, ...(await Promise.all(children.map(familyOf))).flat()];
}

/** An import from a pipe that brings all of `bytes` but the end. */
async function importing(bytes: Buffer): Promise<number> {
  const pipe = join(folder, 'pipe');
  await must('mkfifo', [pipe]);
  const line = `exec ${process.execPath} '${resolve('dist/mount/cli/main.js')}' import '${url}' - vm < '${pipe}'`;
  const { pid } = start('sh', ['-c', line], { env });
  const brought = createWriteStream(pipe);
  brought.on('error', () => undefined);
  brought.write(bytes.subarray(0, bytes.length - 1000));
  undoLater(() => {
    brought.destroy();
  });
  return pid;
}

// S91
test.each([
  ['SIGKILL', 'qcow2'],
  ['SIGKILL', 'xz'],
  ['SIGKILL', 'zst'],
  ['SIGTERM', 'qcow2'],
  ['SIGTERM', 'xz'],
  ['SIGTERM', 'gz'],
] as const)('an import that meets %s in the middle of a %s from a pipe leaves nothing at all', async (signal, kind) => {
  const raw = join(folder, 'disk.raw');
  writeFileSync(raw, randomBytes(2 * MIB));
  const packed = join(folder, `disk.${kind}`);
  if (kind === 'qcow2') await must('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, packed]);
  else await must('sh', ['-c', `${{ xz: 'xz -0', zst: 'zstd', gz: 'gzip' }[kind]} -c < ${raw} > ${packed}`]);

  const lazydisk = await importing(readFileSync(packed));
  // All of the pipe has been taken: it waits for the rest.
  await waitFor('it waits for more', async () => {
    const read = /^rchar: (\d+)/m.exec(readFileSync(`/proc/${String(lazydisk)}/io`, 'utf8'));
    const isPacking = kind === 'qcow2' || kind === 'gz' || (await childrenOf(lazydisk)).length === 1;
    return isPacking && Number(read?.[1]) > readFileSync(packed).length;
  });
  const family = await familyOf(lazydisk);
  process.kill(lazydisk, signal);
  await waitFor('all of it has ended', () => family.every((pid) => !isAlive(pid)));
  await waitFor('its folders are gone', () => readdirSync(temporary).length === 0);
  expect(await lazydiskJson(['list', url], { env })).toMatchObject({ images: [] });
});

// S91, S96
test('an import of an OCI image layout that is killed between two layers leaves nothing at all', async () => {
  const layout = new LayoutBuilder(join(folder, 'layout'));
  const layers = [await layout.layer(tarOf(file('a'))), await layout.layer(tarOf(file('b')))];
  layout.top(layout.manifest(layers));
  // The real tar, which then takes its time to end.
  const slow = join(folder, 'bin', 'tar');
  mkdirSync(join(folder, 'bin'));
  writeFileSync(slow, `#!/bin/sh\n/bin/tar "$@" && touch '${folder}/unpacked' && exec sleep 600\n`, { mode: 0o755 });
  const line = [resolve('dist/mount/cli/main.js'), 'import', url, layout.path, 'vm', '--platform', 'linux/amd64'];
  const PATH = `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}`;
  const { pid } = start(process.execPath, line, { env: { ...env, PATH } });
  await waitFor('a layer is unpacked', () => existsSync(join(folder, 'unpacked')));
  const family = await familyOf(pid);
  expect(readdirSync(temporary)).toHaveLength(1);
  process.kill(pid, 'SIGKILL');
  await waitFor('all of it has ended', () => family.every((each) => !isAlive(each)));
  await waitFor('its folders are gone', () => readdirSync(temporary).length === 0);
  expect(await lazydiskJson(['list', url], { env })).toMatchObject({ images: [] });
});
