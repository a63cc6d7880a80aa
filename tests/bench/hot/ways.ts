/**
 * The ways to read and write a file that is wholly local. Each shows two files of the same size: one that is only read, and one
 * that is written, so that what a round writes does not change what the next one reads.
 */
import { existsSync, statSync } from 'node:fs';
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { mountOurs, requireMountOption, verb } from '../cold/ours.js';
import { isMounted, must, unmountIfMounted, waitUntil, type Workspace } from '../workspace.js';

/** A way that stands: its files, and where their bytes lie on the disk. */
export interface HotPlace {
  readonly readPath: string;
  readonly writePath: string;
  /** Files and folders whose pages leave the page cache when data is to be only on the disk. */
  readonly backing: readonly string[];
}

export interface HotWay {
  readonly id: string;
  readonly title: string;
  /** Whether fio asks for direct I/O of cached data: so that each request reaches the one who serves. */
  readonly direct: boolean;
  /** The tests it takes part in, by id. */
  readonly tests: readonly string[];
  /** Tests with the data only on the disk. */
  readonly diskTests: readonly string[];
  readonly quick: boolean;
  start(workspace: Workspace, source: HotSource): Promise<HotPlace>;
}

/** What all ways serve. */
export interface HotSource {
  /** Two raw files with the same bytes. */
  readonly rawRead: string;
  readonly rawWrite: string;
  /** A repository in a folder with the image `disk`. */
  readonly repository: string;
}

const EVERYTHING = ['randread-qd1', 'randread-qd32', 'randwrite-qd32', 'read-1m', 'write-1m', 'buffered-randread'];
const DISK = ['randread-qd32', 'read-1m'];
const WRITING = ['randwrite-qd32', 'write-1m'];

const raw = (source: HotSource): Promise<HotPlace> =>
  Promise.resolve({ readPath: source.rawRead, writePath: source.rawWrite, backing: [source.rawRead] });

interface OurVariant extends Pick<HotWay, 'id' | 'title' | 'tests' | 'diskTests' | 'quick'> {
  readonly options: readonly string[];
  /** Option without which it can't be. */
  readonly needs?: string;
  /** The file of the image `disk` that is read: its head, or a snapshot. */
  readonly file?: '1.raw' | 'disk.raw';
  /** A snapshot that is kept flat before it is read. */
  readonly flatten?: string;
}

function ours({ options, needs, file = 'disk.raw', flatten, ...way }: OurVariant): HotWay {
  return {
    ...way,
    direct: true,
    start: async (workspace, { repository }) => {
      if (needs !== undefined) await requireMountOption(needs);
      const mount = await mountOurs(workspace, { url: `file://${repository}`, access: undefined }, options);
      const readPath = join(mount.mountpoint, 'disk', file);
      const writes = way.tests.some((test) => WRITING.includes(test));
      // All ways are mounted at once, and an image has one writer: each writes to a clone of its own.
      const written = `written-${way.id}`;
      const writePath = join(mount.mountpoint, written, 'disk.raw');
      if (writes) await verb(mount, ['clone', mount.mountpoint, 'disk', written]);
      if (flatten !== undefined) await verb(mount, ['flatten', mount.mountpoint, flatten]);
      // Reads fetch what is not local.
      for (const path of writes ? [readPath, writePath] : [readPath]) {
        await must('dd', [`if=${path}`, 'of=/dev/null', 'bs=1M', 'status=none']);
      }
      const { stateDirectory } = JSON.parse(await must('cat', [join(mount.mountpoint, 'status')])) as {
        stateDirectory: string;
      };
      return { readPath, writePath, backing: [stateDirectory] };
    },
  };
}

const workers = (count: number): HotWay =>
  ours({
    id: `workers-${String(count)}`,
    title: `lazydisk, ${String(count)} ${count === 1 ? 'worker' : 'workers'}`,
    options: ['--workers', String(count)],
    tests: ['randread-qd32', 'randwrite-qd32', 'read-1m'],
    diskTests: DISK,
    quick: false,
  });

const fuseNativePassthrough: HotWay = {
  id: 'fuse-native-passthrough',
  title: 'fuse-native, a passthrough of 40 lines',
  direct: true,
  tests: EVERYTHING,
  diskTests: [],
  quick: true,
  start: async (workspace, { rawRead, rawWrite }) => {
    const library = resolve('node_modules/fuse-native');
    if (!existsSync(library)) throw new Error('fuse-native is not installed');
    const mountpoint = workspace.newMountpoint();
    const folder = resolve(rawRead, '..');
    // Beside node_modules, so that it finds the library.
    const program = resolve('tests/bench/hot/passthrough.mjs');
    const child = workspace.startProgram(process.execPath, [program, folder, mountpoint]);
    workspace.undoLater(() => unmountIfMounted(mountpoint));
    await waitUntil('fuse-native', () => child.output().includes('mounted'), { whileAlive: child });
    const shown = (path: string): string => join(mountpoint, path.slice(folder.length));
    return { readPath: shown(rawRead), writePath: shown(rawWrite), backing: [rawRead] };
  },
};

const qemuStorageDaemon: HotWay = {
  id: 'qemu-storage-daemon',
  title: 'qemu-storage-daemon, FUSE export',
  direct: true,
  tests: EVERYTHING,
  diskTests: DISK,
  quick: true,
  start: async (workspace, { rawRead, rawWrite }) => {
    const folder = workspace.newFolder('qemu');
    const shown = { read: join(folder, 'read'), write: join(folder, 'write') };
    for (const path of Object.values(shown)) {
      await writeFile(path, '');
      workspace.undoLater(() => unmountIfMounted(path));
    }
    const node = (path: string, name: string): string[] => [
      ...['--blockdev', `driver=file,filename=${path},node-name=${name}-file`],
      ...['--blockdev', `driver=raw,file=${name}-file,node-name=${name}`],
    ];
    const daemon = workspace.startProgram('qemu-storage-daemon', [
      ...node(rawRead, 'read'),
      ...node(rawWrite, 'write'),
      ...['--export', `type=fuse,id=a,node-name=read,mountpoint=${shown.read},writable=on`],
      ...['--export', `type=fuse,id=b,node-name=write,mountpoint=${shown.write},writable=on`],
    ]);
    for (const path of Object.values(shown)) {
      await waitUntil('qemu-storage-daemon', () => isMounted(path), { whileAlive: daemon });
    }
    return { readPath: shown.read, writePath: shown.write, backing: [rawRead] };
  },
};

const nbdfuse: HotWay = {
  id: 'nbdfuse',
  title: 'nbdkit file through nbdfuse',
  direct: true,
  tests: EVERYTHING,
  diskTests: DISK,
  quick: true,
  start: async (workspace, { rawRead, rawWrite }) => {
    const show = async (path: string): Promise<string> => {
      const socket = join(workspace.newFolder('nbdkit'), 'socket');
      const server = workspace.startProgram('nbdkit', ['-f', '-U', socket, 'file', path]);
      await waitUntil('nbdkit', () => existsSync(socket), { whileAlive: server });
      const mountpoint = workspace.newMountpoint();
      const fuse = workspace.startProgram('nbdfuse', [join(mountpoint, 'disk'), '--unix', socket]);
      workspace.undoLater(() => unmountIfMounted(mountpoint));
      await waitUntil('nbdfuse', () => existsSync(join(mountpoint, 'disk')), { whileAlive: fuse });
      return join(mountpoint, 'disk');
    };
    return { readPath: await show(rawRead), writePath: await show(rawWrite), backing: [rawRead] };
  },
};

export const HOT_WAYS: readonly HotWay[] = [
  {
    id: 'raw',
    title: 'raw file, from the page cache',
    direct: false,
    tests: EVERYTHING,
    diskTests: [],
    quick: true,
    start: (_workspace, source) => raw(source),
  },
  {
    id: 'raw-direct',
    title: 'raw file, O_DIRECT (the disk)',
    direct: true,
    tests: ['randread-qd1', 'randread-qd32', 'randwrite-qd32', 'read-1m', 'write-1m'],
    diskTests: DISK,
    quick: true,
    start: (_workspace, source) => raw(source),
  },
  ours({ id: 'ours', title: 'lazydisk', options: [], tests: EVERYTHING, diskTests: DISK, quick: true }),
  workers(1),
  workers(2),
  workers(4),
  workers(8),
  ours({
    id: 'ours-snapshot',
    title: 'lazydisk, a read-only snapshot',
    file: '1.raw',
    options: [],
    tests: ['randread-qd32', 'read-1m'],
    diskTests: DISK,
    quick: false,
  }),
  ours({
    id: 'ours-flat',
    title: 'lazydisk, a snapshot kept flat (FUSE passthrough)',
    file: '1.raw',
    flatten: 'disk@1',
    options: [],
    // With direct I/O its reads are the disk's, whatever the page cache holds.
    tests: [],
    diskTests: DISK,
    quick: true,
  }),
  ours({
    id: 'ours-fuse-native',
    title: 'lazydisk, --driver fuse-native',
    needs: '--driver',
    options: ['--driver', 'fuse-native'],
    tests: EVERYTHING,
    diskTests: [],
    quick: true,
  }),
  fuseNativePassthrough,
  qemuStorageDaemon,
  nbdfuse,
];

/** Makes the two raw files and the repository. */
export async function makeHotSource(
  workspace: Workspace,
  sizeBytes: number,
  lazydisk: (args: readonly string[]) => Promise<string>,
): Promise<HotSource> {
  const folder = workspace.newFolder('hot');
  const repository = join(folder, 'repository');
  const files = join(folder, 'files');
  await mkdir(files);
  const [rawRead, rawWrite] = [join(files, 'read.raw'), join(files, 'write.raw')];
  await must('bash', ['-c', 'head -c "$1" /dev/urandom >"$2"', '-', String(sizeBytes), rawRead]);
  await cp(rawRead, rawWrite);
  await lazydisk(['init', `file://${repository}`]);
  await lazydisk(['import', `file://${repository}`, rawRead, 'disk']);
  return { rawRead, rawWrite, repository };
}

/** Drops the pages of files, and of all files in folders, from the page cache. */
export async function dropFromPageCache(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const names = statSync(path).isDirectory() ? await readdir(path, { recursive: true, withFileTypes: true }) : [];
    const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    for (const file of files.length > 0 ? files : [path]) {
      await must('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);
    }
  }
}
