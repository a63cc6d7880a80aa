/**
 * Which mounts live on this host, so that a verb that is given a mountpoint finds the daemon and the repository.
 *
 * One small file per mountpoint, named after its hash, in /run/lazydisk (root) or $XDG_RUNTIME_DIR/lazydisk; where a user has no such folder
 * (no login), beside his state directories, since nobody else can write there. An entry names
 * the daemon by pid and start time, and so its supervisor; when both are gone the entry is stale: it is ignored, and removed by
 * whoever may. While only the daemon is gone, the next one is about to take its place.
 * Entries hold no secrets and are readable by everyone; the control socket that they name is not. The daemon removes its
 * entry last, so an absent entry means that everything was flushed.
 */
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { removeUnfinished, replaceFile } from './files.js';
import { isRunning } from './processes.js';
import { defaultStateRoot } from './state-directory.js';

/** Environment variable that moves the registry (tests, hosts without /run). */
export const RUNTIME_VARIABLE = 'LAZYDISK_RUNTIME_DIR';

/** A daemon takes over within a second, unless its store is away. */
const TAKE_OVER_MS = 10_000;
const POLL_MS = 20;

const entrySchema = z.object({
  mountpoint: z.string(),
  pid: z.int().positive(),
  startTicks: z.string(),
  /** The file that the daemon runs; null: it did not say. */
  program: z.string().nullable().default(null),
  /** null: the daemon has none. */
  supervisor: z.object({ pid: z.int().positive(), startTicks: z.string() }).nullable().default(null),
  stateDirectory: z.string(),
  socket: z.string(),
  repository: z.string(),
  endpoint: z.string().nullable(),
});

/** One live mount. */
export type RegistryEntry = Readonly<z.infer<typeof entrySchema>>;

export class Registry {
  private constructor(
    private readonly ownFolder: string,
    private readonly folders: readonly string[],
  ) {}

  /** The registry of this host as the user `uid` sees it. */
  static forUser(uid: number, environment: NodeJS.ProcessEnv = process.env): Registry {
    const chosen = environment[RUNTIME_VARIABLE];
    if (chosen !== undefined && chosen !== '') return Registry.in(chosen);
    const system = '/run/lazydisk';
    if (uid === 0) return Registry.in(system);
    const runtime = environment['XDG_RUNTIME_DIR'];
    const own =
      runtime === undefined || runtime === ''
        ? join(defaultStateRoot(uid, environment), 'run')
        : join(runtime, 'lazydisk');
    return new Registry(own, [own, system]);
  }

  static in(folder: string): Registry {
    return new Registry(folder, [folder]);
  }

  /** Adds or replaces the entry of its mountpoint. */
  async add(entry: RegistryEntry): Promise<void> {
    const made = await mkdir(this.ownFolder, { recursive: true, mode: 0o755 });
    if (made !== undefined) await chmod(this.ownFolder, 0o755); // whatever the umask says
    await replaceFile(this.pathOf(this.ownFolder, entry.mountpoint), `${JSON.stringify(entry, null, 2)}\n`, 0o644);
  }

  /** Removes the entry of a mountpoint if it is that of process `pid`. */
  async remove(mountpoint: string, pid: number): Promise<void> {
    const path = this.pathOf(this.ownFolder, mountpoint);
    if ((await read(path))?.pid !== pid) return;
    await removeIfEmpty(processErrorFile(this, mountpoint));
    await removeUnfinished(path);
    await rm(path, { force: true });
  }

  /** The live mount at `mountpoint` (as resolveMountpoint gives it), or undefined. */
  async find(mountpoint: string): Promise<RegistryEntry | undefined> {
    for (const folder of this.folders) {
      const entry = await living(this.pathOf(folder, mountpoint));
      if (entry?.mountpoint === mountpoint) return entry;
    }
    return undefined;
  }

  /** The same, to be asked something: while a daemon has died and the next one is about to take over, it is waited for. */
  async findServing(mountpoint: string, waitMs = TAKE_OVER_MS): Promise<RegistryEntry | undefined> {
    const deadlineMs = performance.now() + waitMs;
    for (;;) {
      const entry = await this.find(mountpoint);
      if (entry === undefined || isRunning(entry) || performance.now() >= deadlineMs) return entry;
      await delay(POLL_MS);
    }
  }

  /** All live mounts. */
  async list(): Promise<RegistryEntry[]> {
    const entries: RegistryEntry[] = [];
    for (const folder of this.folders) {
      const names = await readdir(folder).catch(() => []);
      for (const name of names.filter((each) => each.endsWith('.json'))) {
        const entry = await living(join(folder, name));
        if (entry !== undefined) entries.push(entry);
      }
    }
    return entries;
  }

  /** Where the entry of a mountpoint is, or would be. */
  entryPath(mountpoint: string): string {
    return this.pathOf(this.ownFolder, mountpoint);
  }

  private pathOf(folder: string, mountpoint: string): string {
    return join(folder, `${createHash('sha256').update(mountpoint).digest('hex').slice(0, 32)}.json`);
  }
}

/** Nothing crashed: nobody needs the file. */
export async function removeIfEmpty(path: string): Promise<void> {
  if ((await stat(path).catch(() => undefined))?.size === 0) await rm(path, { force: true });
}

/** The file beside a mount's entry that holds what Node says when its daemon crashes. */
export function processErrorFile(registry: Registry, mountpoint: string): string {
  return errorFileOf(registry.entryPath(mountpoint));
}

function errorFileOf(entryPath: string): string {
  return entryPath.replace(/json$/, 'stderr');
}

async function living(path: string): Promise<RegistryEntry | undefined> {
  const entry = await read(path);
  if (entry === undefined || isRunning(entry)) return entry;
  if (entry.supervisor !== null && isRunning(entry.supervisor)) return entry;
  try {
    await removeIfEmpty(errorFileOf(path));
    await rm(path, { force: true });
  } catch {
    // Not ours to remove: its owner or the next start will.
  }
  return undefined;
}

async function read(path: string): Promise<RegistryEntry | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return entrySchema.parse(JSON.parse(text));
  } catch {
    return undefined; // of another version, or not ours
  }
}
