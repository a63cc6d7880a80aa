/**
 * A local key-value database: LevelDB with text keys and binary values, and the only owner of `level`.
 *
 * Two of them exist on a host: the mirror's record of which chunks are local (disposable), and the state's (node ids,
 * cached tree nodes, known places). Both rely on the same three promises of LevelDB:
 *   - what resolved without `sync` survives the death of the process, not of the host; with `sync` it survives both;
 *   - a batch is applied whole or not at all;
 *   - its lock belongs to one process and dies with it, which is how one daemon per directory is enforced.
 * It does not interpret keys or values, and repairs or removes a damaged database only for its owner, who knows what it is worth.
 * Damage that shows only while it is open (LevelDB looks at a block when it needs it) is remembered by a mark, so that the next
 * open is DAMAGED; so is one whose first file is gone, which LevelDB would begin anew without a word.
 *
 * But for one: LevelDB does not sync the first files that it makes, and refuses them when the host dies then. They are synced
 * here, beside whatever else goes on, which a marker file says afterwards. A change with `sync` waits for that; so a
 * damaged database without the marker has never promised anything, and is made anew.
 */
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Level } from 'level';
import { hasCode, LazydiskError, messageOf } from '../util/errors.js';
import { SoundChanges } from './sound-changes.js';

/** How many entries an iteration reads in one trip to LevelDB. */
const ENTRIES_AT_ONCE = 1000;
const ENTRIES_BYTES_AT_ONCE = 256 * 1024;
/** No key has it; UTF-8 order keeps the keys of a prefix together, before it. */
const LAST_CHARACTER = '\u{10ffff}';

/** Says that the files of the beginning have been synced. LevelDB passes over names that are not its own. */
const SETTLED = 'settled';
/** Says that damage was met, or that a salvage was begun. */
const DAMAGED = 'damaged';
/** What LevelDB opens first. */
const CURRENT = 'CURRENT';

/** How a change is written. `sync`: durable against the loss of the host when it resolves; default false. */
export interface WriteOptions {
  readonly sync?: boolean;
}

/** One change of a batch. */
export type DatabaseOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: string };

/** An open database. Every method may be called any number of times at once; none may follow `close`. */
export class LocalDatabase {
  /** Rejects when the files of the beginning could not be synced. */
  private readonly settled: Promise<void>;
  private readonly changes: SoundChanges;

  private constructor(
    readonly directory: string,
    private readonly level: Level<string, Uint8Array>,
  ) {
    this.settled = settle(directory);
    this.settled.catch(() => undefined);
    this.changes = new SoundChanges(directory, level);
  }

  /**
   * Opens the database in `directory`, which is created with mode 0700 when it is not there.
   * BUSY: another process (or this one) has it open. DAMAGED: LevelDB refuses its files, or damage was met in them before. IO:
   * anything else. Every method of an open one rejects with DAMAGED where it meets damage; changes with NO_SPACE or IO, too.
   */
  static async open(directory: string, trust: 'sound' | 'in-doubt' = 'sound'): Promise<LocalDatabase> {
    await mkdir(directory, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      throw new LazydiskError('IO', `The folder ${directory} can't be created: ${messageOf(error)}.`, { cause: error });
    });
    const level = await (trust === 'sound' ? openSound : openLevel)(directory).catch(async (error: unknown) => {
      if (!hasCode(error, 'DAMAGED') || existsSync(join(directory, SETTLED))) throw error;
      await removeFiles(directory);
      return openLevel(directory);
    });
    return new LocalDatabase(directory, level);
  }

  /**
   * Makes a sound database of what can be read of a damaged one, and opens it; when that is not enough for `begin`, an empty
   * one. `begin` is called before the database counts as sound: a process that is killed in it leaves one that is salvaged
   * again. The caller sees to it that nobody else opens it meanwhile.
   */
  static async salvage(directory: string, begin: (database: LocalDatabase) => Promise<void>): Promise<LocalDatabase> {
    await writeFile(join(directory, DAMAGED), '', { mode: 0o600 });
    const database = await beginWith(directory, begin, () => repairFiles(directory)).catch(() =>
      beginWith(directory, begin, () => removeFiles(directory)),
    );
    await rm(join(directory, DAMAGED), { force: true });
    return database;
  }

  /** The value, or undefined when there is none. */
  async get(key: string): Promise<Buffer | undefined> {
    return asBuffer(await this.watched(this.level.get(key)));
  }

  /** The values in the order of the keys; undefined where there is none. */
  async getMany(keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    if (keys.length === 0) return [];
    return (await this.watched(this.level.getMany([...keys]))).map(asBuffer);
  }

  async put(key: string, value: Uint8Array, options: WriteOptions = {}): Promise<void> {
    await this.change(options, (sync) => this.level.put(key, value, sync));
  }

  /** Resolves also when there was no such key. */
  async delete(key: string, options: WriteOptions = {}): Promise<void> {
    await this.change(options, (sync) => this.level.del(key, sync));
  }

  /** Applies the operations in their order, all or none. */
  async batch(operations: readonly DatabaseOperation[], options: WriteOptions = {}): Promise<void> {
    if (operations.length === 0) return;
    const steps = operations.map((operation) =>
      operation.type === 'put'
        ? ({ type: 'put', key: operation.key, value: operation.value } as const)
        : ({ type: 'del', key: operation.key } as const),
    );
    await this.change(options, (sync) => this.level.batch(steps, sync));
  }

  /** All entries whose key begins with `prefix`, in key order, as they were when the iteration began. */
  async *entries(prefix: string): AsyncGenerator<[key: string, value: Buffer], void, undefined> {
    // What lies behind is not to be read ahead.
    const iterator = this.level.iterator({
      gte: prefix,
      lt: `${prefix}${LAST_CHARACTER}`,
      highWaterMarkBytes: ENTRIES_BYTES_AT_ONCE,
    });
    try {
      for (;;) {
        const batch = await this.watched(iterator.nextv(ENTRIES_AT_ONCE));
        if (batch.length === 0) return;
        for (const [key, value] of batch) yield [key, asBuffer(value) ?? Buffer.alloc(0)];
      }
    } finally {
      await iterator.close();
    }
  }

  /** Waits for what runs, closes the files and gives up the lock. May be called again. */
  async close(): Promise<void> {
    await this.settled.catch(() => undefined);
    await this.level.close();
  }

  /** One after the other (sound-changes.ts). */
  private async change(
    { sync = false }: WriteOptions,
    make: (options: Required<WriteOptions>) => Promise<void>,
  ): Promise<void> {
    if (sync) await this.settled;
    await this.watched(this.changes.make(() => make({ sync })));
  }

  /** Remembers damage for the next open. */
  private async watched<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (!isDamage(error)) throw error;
      // When even that can't be written, the next open meets the damage by itself.
      await writeFile(join(this.directory, DAMAGED), '', { mode: 0o600 }).catch(() => undefined);
      throw damaged(this.directory, error);
    }
  }
}

/** Opens what `make` leaves, and hands it over when `begin` is content with it. */
async function beginWith(
  directory: string,
  begin: (database: LocalDatabase) => Promise<void>,
  make: () => Promise<void>,
): Promise<LocalDatabase> {
  await make();
  const database = await LocalDatabase.open(directory, 'in-doubt');
  try {
    await begin(database);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** DAMAGED also where LevelDB would not say so. */
async function openSound(directory: string): Promise<Level<string, Uint8Array>> {
  if (existsSync(join(directory, DAMAGED))) throw damaged(directory, new Error('damage was met in it before'));
  if (existsSync(join(directory, SETTLED)) && !existsSync(join(directory, CURRENT)))
    throw damaged(directory, new Error(`its file ${CURRENT} is gone`));
  return openLevel(directory);
}

/** LevelDB's own repair: keeps each table and each record of a log that can be read, and moves the rest to `lost`. */
async function repairFiles(directory: string): Promise<void> {
  // Its types leave it out.
  const { repair } = Level as unknown as { repair(location: string): Promise<void> };
  await rm(join(directory, 'lost'), { recursive: true, force: true });
  await repair.call(Level, directory);
}

/** All but what says that it is damaged. */
async function removeFiles(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name !== DAMAGED);
  for (const name of names) await rm(join(directory, name), { recursive: true });
}

async function openLevel(directory: string): Promise<Level<string, Uint8Array>> {
  const level = new Level<string, Uint8Array>(directory, { keyEncoding: 'utf8', valueEncoding: 'buffer' });
  try {
    await level.open();
    return level;
  } catch (error) {
    await level.close().catch(() => undefined);
    throw openError(directory, error);
  }
}

/** Syncs what names the files of an open database, and the files themselves, unless that was done once. */
async function settle(directory: string): Promise<void> {
  const marker = join(directory, SETTLED);
  if (existsSync(marker)) return;
  const names = (await readdir(directory)).filter((name) => /^(CURRENT|MANIFEST-\d+)$/.test(name));
  await Promise.all([...names.map((name) => join(directory, name)), directory, dirname(directory)].map(sync));
  await (await open(marker, 'w', 0o600)).close();
  await sync(directory);
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function asBuffer(value: Uint8Array | undefined): Buffer | undefined {
  if (value === undefined || Buffer.isBuffer(value)) return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function isDamage(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'LEVEL_CORRUPTION' || /corrupt/i.test(messageOf(error));
}

function damaged(directory: string, cause: unknown): LazydiskError {
  return new LazydiskError('DAMAGED', `The database in ${directory} is damaged: ${messageOf(cause)}.`, {
    cause,
    facts: { directory },
  });
}

/** LevelDB hides the reason of a failed open in the cause. */
function openError(directory: string, error: unknown): LazydiskError {
  const reason = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = (reason as { code?: unknown }).code;
  if (code === 'LEVEL_LOCKED') {
    return new LazydiskError(
      'BUSY',
      `The database in ${directory} is in use by another lazydisk process: end that one first, or choose another directory.`,
      { cause: reason, facts: { directory } },
    );
  }
  if (isDamage(reason) || /checksum|no such file/i.test(messageOf(reason))) return damaged(directory, reason);
  return new LazydiskError('IO', `The database in ${directory} can't be opened: ${messageOf(reason)}.`, {
    cause: reason,
    facts: { directory },
  });
}
