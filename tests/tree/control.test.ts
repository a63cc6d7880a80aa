import { beforeEach, describe, expect, test } from '@jest/globals';
import { LazydiskError } from '../../lib/util/errors.js';
import { MAX_OUTCOMES, type BegunCommit } from '../../mount/tree/outcomes.js';
import { caller, errnoOf, readAll, treeFixture, type TreeFixture } from '../helpers/tree-fixture.js';

const READ_WRITE = { write: true, truncate: false };

interface Outcome {
  id: string;
  command: string;
  image: string | null;
  ok: boolean;
  startedAt: string;
  finishedAt: string;
  result?: Record<string, unknown>;
  error?: { code: string; message: string };
}
interface History {
  schemaVersion: number;
  running: { command: string }[];
  outcomes: Outcome[];
}

/** A descriptor of a control file, as a program has one. */
class Descriptor {
  /** Where the kernel says that it stands. */
  position = 0;

  private constructor(
    private readonly fixture: TreeFixture,
    readonly file: number,
    readonly handle: number,
  ) {}

  static async open(fixture: TreeFixture, path: string): Promise<Descriptor> {
    const file = await fixture.node(path);
    const { handle } = await fixture.fileSystem.open(file, READ_WRITE, caller());
    return new Descriptor(fixture, file, handle);
  }

  async write(text: string | Uint8Array, signal?: AbortSignal): Promise<void> {
    const bytes = Buffer.from(text as Uint8Array);
    await this.fixture.fileSystem.write(this.file, this.handle, this.position, bytes, caller(signal));
    this.position += bytes.length;
  }

  async read<T = Outcome>(offset = this.position): Promise<T> {
    return JSON.parse(await readAll(this.fixture.fileSystem, this.file, this.handle, offset)) as T;
  }

  flush(): Promise<void> {
    return this.fixture.fileSystem.flush(this.file, this.handle, caller());
  }

  release(): Promise<void> {
    return this.fixture.fileSystem.release(this.file, this.handle);
  }
}

async function write(fixture: TreeFixture, text: string): Promise<void> {
  const file = await fixture.node('vm/disk.raw');
  await fixture.fileSystem.open(file, READ_WRITE, caller());
  await fixture.fileSystem.write(file, 1, 0, Buffer.from(text), caller());
  await fixture.fileSystem.release(file, 1);
}

describe('control files', () => {
  let fixture: TreeFixture;
  const open = (path: string): Promise<Descriptor> => Descriptor.open(fixture, path);

  beforeEach(async () => {
    fixture = await treeFixture();
    fixture.catalogue.image('vm').publish(Buffer.from('boot'));
  });

  // S35, S37: commands, and what their write returns.
  test('a commit with a label publishes a snapshot, and a second one finds nothing changed', async () => {
    await write(fixture, 'work');
    const control = await open('vm/control');
    await control.write('commit before the upgrade\n');
    expect(await control.read()).toMatchObject({
      command: 'commit vm before the upgrade',
      image: 'vm',
      ok: true,
      result: { image: 'vm', number: 2, changed: true },
    });
    expect(fixture.catalogue.image('vm').published.get(2)!.info.label).toBe('before the upgrade');
    await control.write('commit\n');
    expect((await control.read()).result).toMatchObject({ number: 2, changed: false });
  });

  test('clones are made from both kinds of control file', async () => {
    fixture.catalogue.image('vm').publish(Buffer.from('second'));
    await fixture.echo('control', 'clone vm from-root @1\n');
    await fixture.echo('vm/control', 'clone from-image\n');
    expect((await fixture.stat('from-root/1.raw')).sizeBytes).toBe(4);
    expect((await fixture.stat('from-image/1.raw')).sizeBytes).toBe(6);
  });

  test('unlock gives up the lock of a clean head', async () => {
    const file = await fixture.node('vm/disk.raw');
    await fixture.fileSystem.open(file, READ_WRITE, caller());
    await fixture.fileSystem.release(file, 1);
    expect(fixture.catalogue.image('vm').lockedBy).toBe('us');
    await fixture.echo('control', 'unlock vm\n');
    expect(fixture.catalogue.image('vm').lockedBy).toBe('nobody');
  });

  test.each([
    ['control', 'nonsense\n', 'EINVAL'],
    ['control', 'clone vm\n', 'EINVAL'],
    ['control', 'clone vm .bad\n', 'EINVAL'],
    ['control', 'clone nobody new\n', 'ENOENT'],
    ['control', 'clone vm new @9\n', 'ENOENT'],
    ['control', 'clone vm vm\n', 'EEXIST'],
    ['control', 'commit nobody\n', 'ENOENT'],
    ['vm/control', 'revert @9\n', 'ENOENT'],
    ['vm/control', `commit ${'x'.repeat(1025)}\n`, 'EINVAL'],
    ['vm/control', `commit ${'x'.repeat(5000)}\n`, 'EINVAL'],
    ['vm/control', '\n'.repeat(70_000), 'EINVAL'],
    ['vm/control', 'commit a\u0001b\n', 'EINVAL'],
  ])('in %s, %.20j is %3$s', async (path, text, errno) => {
    const control = await open(path);
    expect(await errnoOf(control.write(text))).toBe(errno);
  });

  test('a failed command tells why on the same descriptor, and in the list', async () => {
    const control = await open('control');
    await expect(control.write('clone nobody new\n')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const outcome = await control.read();
    expect(outcome).toMatchObject({ ok: false, error: { code: 'NOT_FOUND', message: 'There is no image nobody.' } });
    await expect(control.write('bad line\n')).rejects.toMatchObject({ code: 'USAGE' });
    expect(await control.read()).toMatchObject({ command: 'bad line', ok: false, error: { code: 'USAGE' } });
    const { outcomes } = JSON.parse(await fixture.cat('control')) as History;
    expect(outcomes.map(({ id }) => id)).toContain(outcome.id);
    expect(outcomes).toHaveLength(2);
  });

  test('an unexpected error is EIO, told as IO', async () => {
    fixture.catalogue.clone = () => Promise.reject(new TypeError('a defect'));
    const control = await open('control');
    expect(await errnoOf(control.write('clone vm new\n'))).toBe('EIO');
    expect((await control.read()).error).toEqual({ code: 'IO', message: 'a defect' });
  });

  test('bytes that are not UTF-8 are EINVAL, and a character may be split over two writes', async () => {
    await write(fixture, 'work');
    const control = await open('vm/control');
    expect(await errnoOf(control.write(Buffer.from([0x68, 0xff, 0x0a])))).toBe('EINVAL');
    const text = Buffer.from('commit Übung\n');
    await control.write(text.subarray(0, 8));
    await control.write(text.subarray(8));
    expect(fixture.catalogue.image('vm').published.get(2)!.info.label).toBe('Übung');
  });

  // S36: when a command runs.
  test('a line runs at its newline, however it is cut', async () => {
    const control = await open('control');
    for (const piece of ['cl', 'one vm', ' new']) await control.write(piece);
    expect(fixture.catalogue.images.has('new')).toBe(false);
    await control.write('\n');
    expect(fixture.catalogue.images.has('new')).toBe(true);
  });

  test('a last line without newline runs when the descriptor is closed, and its errno is that of close', async () => {
    const control = await open('control');
    await control.write('clone vm new');
    expect(fixture.catalogue.images.has('new')).toBe(false);
    await control.flush();
    expect(fixture.catalogue.images.has('new')).toBe(true);
    await control.flush();
    await control.write('clone vm new');
    expect(await errnoOf(control.flush())).toBe('EEXIST');
  });

  test('several lines in one write run in order and stop at the first that fails', async () => {
    const control = await open('control');
    expect(await errnoOf(control.write('clone vm a\n\nclone a b\nclone nobody c\nclone vm d\nclone vm e'))).toBe(
      'ENOENT',
    );
    await control.flush();
    expect([...fixture.catalogue.images.keys()].sort()).toEqual(['a', 'b', 'vm']);
    expect(await control.read()).toMatchObject({ command: 'clone nobody c', ok: false });
    await control.write('clone vm f\n');
    expect(fixture.catalogue.images.has('f')).toBe(true);
  });

  test('blank lines do nothing', async () => {
    const control = await open('vm/control');
    await control.write('\n  \n\t\n');
    expect((await control.read<History>(0)).outcomes).toEqual([]);
  });

  // S38: an interrupted writer.
  test('an interrupted write is EINTR, its commands go on, and reading waits for the last outcome', async () => {
    await write(fixture, 'work');
    const stall = gate();
    fixture.catalogue.stalled = stall.promise;
    const control = await open('vm/control');
    const interrupt = new AbortController();
    const writing = errnoOf(control.write('commit\nunlock\n', interrupt.signal));
    const { running } = await historyWhen(fixture, (history) => history.running.length === 1);
    expect(running[0]).toMatchObject({ command: 'commit vm' });
    interrupt.abort();
    expect(await writing).toBe('EINTR');
    const reading = control.read();
    expect(fixture.catalogue.image('vm').published.has(2)).toBe(false);
    stall.resolve();
    expect(await reading).toMatchObject({ command: 'unlock vm', ok: true });
    const { outcomes } = JSON.parse(await fixture.cat('vm/control')) as History;
    expect(outcomes).toMatchObject([{ command: 'commit vm', result: { number: 2 } }, { command: 'unlock vm' }]);
  });

  // S52
  test('a commit with --async returns at its cut; status, the list and the same descriptor follow it by its id', async () => {
    await write(fixture, 'work');
    const stall = gate();
    fixture.catalogue.stalled = stall.promise;
    const control = await open('vm/control');
    await control.write('commit --async over night\n');
    const begun = await control.read<BegunCommit>();
    expect(begun).toMatchObject({ command: 'commit vm --async over night', image: 'vm', pauseMs: 0 });
    const { id, command, image, startedAt } = begun;
    const running = { id, command, image, startedAt };
    expect((await fixture.tree.imageStatus('vm')).running).toEqual([running]);
    expect(await fixture.tree.status()).toMatchObject({ runningCommands: 1, running: [running] });
    expect(fixture.tree.commands.command(begun.id)).toEqual(running);
    // Written after the cut: not in it.
    await write(fixture, 'more');
    stall.resolve();
    await historyWhen(fixture, (history) => history.outcomes.length === 1);
    expect(fixture.catalogue.image('vm').published.get(2)!.bytes.toString()).toBe('work');
    const outcome = await control.read(0);
    expect(outcome).toMatchObject({ id: begun.id, ok: true, result: { number: 2 } });
    expect(fixture.tree.commands.command(begun.id)).toEqual(outcome);
    expect((await fixture.tree.imageStatus('vm')).running).toEqual([]);
  });

  // S52
  test('a commit with --async that has ended before any cut gives its outcome, and its errno when it failed', async () => {
    const control = await open('vm/control');
    await control.write('commit --async\n');
    expect(await control.read()).toMatchObject({ ok: true, result: { changed: false } });
    expect(await errnoOf((await open('control')).write('commit nobody --async\n'))).toBe('ENOENT');
  });

  // S50, S51
  test('a local clone and a commit under another name are made from control files', async () => {
    await fixture.echo('vm/control', 'clone scratch --local\n');
    expect([...fixture.catalogue.image('scratch').published.keys()]).toEqual([]);
    expect((await fixture.stat('scratch/disk.raw')).sizeBytes).toBe(4);
    await write(fixture, 'work');
    await fixture.echo('control', 'commit vm --as saved\n');
    expect(fixture.catalogue.image('saved').published.get(1)!.bytes.toString()).toBe('work');
    expect(fixture.catalogue.image('vm').currentHead!.isDirty()).toBe(true);
    expect(await errnoOf(fixture.echo('control', 'commit vm --as .bad\n'))).toBe('EINVAL');
  });

  test('a reader that waits for an outcome can be interrupted', async () => {
    const stall = gate();
    fixture.catalogue.stalled = stall.promise;
    const control = await open('vm/control');
    const interrupt = new AbortController();
    const writing = control.write('commit\n');
    await historyWhen(fixture, (history) => history.running.length === 1);
    const reading = errnoOf(fixture.fileSystem.read(control.file, control.handle, 0, 100, caller(interrupt.signal)));
    interrupt.abort();
    expect(await reading).toBe('EINTR');
    stall.resolve();
    await writing;
  });

  test('a line whose writer was interrupted before it began runs all the same', async () => {
    const control = await open('control');
    expect(await errnoOf(control.write('clone vm new\n', AbortSignal.abort()))).toBe('EINTR');
    expect(await control.read()).toMatchObject({ command: 'clone vm new', ok: true });
    expect(fixture.catalogue.images.has('new')).toBe(true);
  });

  // S39: outcomes.
  test('a fresh descriptor reads the last outcomes: all in the root, its own in the folder of an image', async () => {
    fixture.catalogue.image('other').publish(Buffer.from('x'));
    await fixture.echo('vm/control', 'commit\n');
    await fixture.echo('other/control', 'commit\n');
    const commands = async (path: string): Promise<string[]> =>
      (JSON.parse(await fixture.cat(path)) as History).outcomes.map(({ command }) => command);
    expect(await commands('control')).toEqual(['commit vm', 'commit other']);
    expect(await commands('vm/control')).toEqual(['commit vm']);
    expect(await commands('other/control')).toEqual(['commit other']);
  });

  test('the list is bounded, its ids differ, and it survives a restart', async () => {
    for (let count = 0; count < MAX_OUTCOMES + 5; count++) await fixture.echo('vm/control', 'help\n');
    const before = JSON.parse(await fixture.cat('control')) as History;
    expect(before.outcomes).toHaveLength(MAX_OUTCOMES);
    const restarted = await treeFixture(fixture);
    await restarted.echo('vm/control', 'help\n');
    const after = JSON.parse(await restarted.cat('control')) as History;
    expect(after.outcomes.slice(0, -1)).toEqual(before.outcomes.slice(1));
    expect(new Set(after.outcomes.map(({ id }) => id)).size).toBe(MAX_OUTCOMES);
    expect(restarted.tree.commands.command(after.outcomes[3]!.id)).toEqual(after.outcomes[3]);
  });

  test('a list that can not be kept fails no command', async () => {
    fixture.database.failure = new Error('the disk failed');
    const outcome = await fixture.tree.commands.unlock('vm');
    expect(outcome).toMatchObject({ ok: true, command: 'unlock vm', result: { image: 'vm' } });
  });

  test('help lists the verbs of the file', async () => {
    const control = await open('vm/control');
    await control.write('help\n');
    const { result } = await control.read();
    expect(JSON.stringify(result)).toMatch(/commit .*\[LABEL…\]/);
  });

  // S40: one text per reading.
  test('later reads page through one text although commands go on elsewhere', async () => {
    await fixture.echo('vm/control', 'help\n');
    const control = await open('control');
    const first = await fixture.fileSystem.read(control.file, control.handle, 0, 20, caller());
    await fixture.echo('vm/control', 'commit\n');
    const rest = await readAll(fixture.fileSystem, control.file, control.handle, 20);
    expect((JSON.parse(Buffer.from(first).toString() + rest) as History).outcomes).toHaveLength(1);
    expect((await control.read<History>(0)).outcomes).toHaveLength(2);
  });

  test('a descriptor is read at 0 or where it stands after writing, with the same text', async () => {
    const control = await open('control');
    await control.write('clone vm new\n');
    const atPosition = await control.read();
    expect(atPosition).toMatchObject({ command: 'clone vm new' });
    expect(await control.read(0)).toEqual(atPosition);
    await control.write('clone vm newer\n');
    expect(await control.read()).toMatchObject({ command: 'clone vm newer' });
  });

  // S41: limits.
  test('open descriptors are bounded, and closing one makes room', async () => {
    const all: Descriptor[] = [];
    for (let count = 0; count < 1024; count++) all.push(await open('control'));
    expect(await errnoOf(open('control'))).toBe('ENFILE');
    await all[0]!.release();
    expect(await errnoOf(open('control'))).toBe('ok');
  });

  test('on a read-only mount commands are refused and help is not', async () => {
    const readOnly = await treeFixture({ readOnly: true });
    expect(await readOnly.tree.commands.clone('vm', undefined, 'new')).toMatchObject({
      ok: false,
      error: { code: 'READ_ONLY' },
    });
    expect(await errnoOf(readOnly.echo('control', 'help\n'))).toBe('EROFS');
  });
});

// S33: a close that came just before counts as done.
test('a revert waits a moment for a head that is just being closed', async () => {
  const fixture = await treeFixture();
  const image = fixture.catalogue.image('vm');
  image.publish(Buffer.from('boot'));
  let tries = 0;
  image.revert = () => (++tries < 3 ? Promise.reject(new LazydiskError('BUSY', 'open')) : Promise.resolve());
  expect(await fixture.tree.commands.revert('vm')).toMatchObject({ ok: true });
  image.revert = () => Promise.reject(new LazydiskError('BUSY', 'open'));
  expect(await fixture.tree.commands.revert('vm')).toMatchObject({ ok: false, error: { code: 'BUSY' } });
});

/** A promise that the test resolves. */
function gate(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** The history, once it is as wanted. */
async function historyWhen(fixture: TreeFixture, wanted: (history: History) => boolean): Promise<History> {
  for (;;) {
    const history = JSON.parse(await fixture.cat('control')) as History;
    if (wanted(history)) return history;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
