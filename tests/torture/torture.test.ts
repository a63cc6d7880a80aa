/**
 * `make torture SECONDS=600 [SEED=…]`: everything that can go wrong, at once and for long.
 *
 * Two processes change one image and check every byte that they read; a real guest works on another, boot after boot. Meanwhile the
 * daemon is killed or restarted, commits are taken, the store lies, stalls and goes away, the cache is smaller than what is read, and the
 * disk of the state directory is full now and then. At the end every byte is compared: on the mount, in a snapshot, and on
 * a second host that has nothing. It prints what it did, as one line of JSON.
 */
import { expect, test } from '@jest/globals';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { checksumOf, readRange, seededRandom } from '../helpers/contents.js';
import { randomFaults, startFaultyProxy, type WireFault } from '../helpers/faulty-proxy.js';
import { bootGuest, guestImage } from '../helpers/guest.js';
import { commit, importFile, MIB, repositoryWithImage } from '../helpers/images.js';
import { type MountedTest, mountRepository } from '../helpers/mounts.js';
import { start } from '../helpers/processes.js';
import { lazydisk, mustLazydisk } from '../helpers/program.js';
import { guestState, qmp } from '../helpers/qmp.js';
import { describeS3, s3Endpoint, through } from '../helpers/repositories.js';
import { SmallDisk } from '../helpers/small-disk.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { passed, waitFor } from '../helpers/waiting.js';

const PROCESS = resolve('tests/tools/torture-process.mjs');
const SECONDS = Number(process.env['SECONDS'] ?? 600);
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const WRITERS = 2;
const IMAGE_BYTES = 96 * MIB;
const STATE_DISK_BYTES = 700 * MIB;
/** Nobody may wait longer for the store than outages and faults together last. */
const TIMEOUT_S = 60;
const FAULT_RATE = 0.03;

const FAULTS: readonly WireFault[] = [
  { kind: 'status', status: 500, code: 'InternalError' },
  { kind: 'status', status: 503, code: 'SlowDown' },
  { kind: 'status', status: 403, code: 'RequestTimeTooSkewed' },
  { kind: 'reset' },
  { kind: 'lost answer' },
  { kind: 'late', delayMs: 500 },
  { kind: 'truncate' },
  { kind: 'short' },
  { kind: 'flip' },
  { kind: 'wrong etag' },
  { kind: 'stale' },
];

/** What was done, and what came of it. */
const counts = {
  seed: SEED,
  seconds: SECONDS,
  kills: 0,
  restarts: 0,
  commits: 0,
  failedCommits: 0,
  outages: 0,
  fullDisks: 0,
  guestBoots: 0,
  guestStops: 0,
  faults: 0,
  operations: 0,
  bytesVerified: 0,
  errors: {} as Record<string, number>,
  mismatches: 0,
};

/** All that is free on the disk but a little is taken for a while. */
async function fillDisk(disk: SmallDisk, forMs: number): Promise<void> {
  await disk.fill(MIB);
  await passed(forMs);
  await disk.makeRoom();
}

/** Boots the image again and again until `isOver`; a guest that was stopped by an error goes on. */
async function workInGuest(mounted: MountedTest, image: string, isOver: () => boolean): Promise<void> {
  for (let boots = 1; !isOver(); boots += 1) {
    const guest = bootGuest(mounted.path(image), join(temporaryFolder('guest'), 'reads'));
    let running = true;
    const ended = guest.ended.finally(() => {
      running = false;
    });
    while (running) {
      if ((await guestState(guest.monitor).catch(() => 'ended')) === 'io-error') {
        counts.guestStops += 1;
        await qmp(guest.monitor, 'cont').catch(() => undefined);
      }
      await Promise.race([passed(500), ended]);
    }
    expect(await ended).toMatch(new RegExp(`GUEST-DONE ok boots=${String(boots)}\\b`));
    counts.guestBoots += 1;
  }
}

async function tryCommit(mounted: MountedTest, image: string): Promise<void> {
  const { status } = await lazydisk(['commit', mounted.mountpoint, image], { env: mounted.repository.env });
  if (status === 0) counts.commits += 1;
  else counts.failedCommits += 1;
}

/** A daemon that dies young six times in a row is given up, and rightly: two in a row are enough here. */
const QUICK_DEATH_MS = 3_000;
let quickKills = 0;
let lastKillMs = 0;

async function killWhenDue(mounted: MountedTest): Promise<void> {
  const isQuick = Date.now() - lastKillMs < QUICK_DEATH_MS;
  if (isQuick && quickKills >= 2) return;
  quickKills = isQuick ? quickKills + 1 : 0;
  lastKillMs = Date.now();
  await mounted.killDaemon();
  counts.kills += 1;
}

/** Counts the pieces in which two files differ. */
async function compare(path: string, expected: Buffer): Promise<void> {
  for (let offset = 0; offset < expected.length; offset += MIB) {
    const piece = await readRange(path, offset, Math.min(MIB, expected.length - offset));
    if (!piece.equals(expected.subarray(offset, offset + piece.length))) counts.mismatches += 1;
    counts.bytesVerified += piece.length;
  }
}

/** What the image must hold: of each writer's buffer its own lanes, of what nobody owns the original. */
async function mergedModel(original: string, models: readonly string[]): Promise<Buffer> {
  const laneBytes = 13 * 512;
  const merged = await readFile(original);
  const lanesEach = Math.floor(IMAGE_BYTES / laneBytes / WRITERS);
  for (const [lane, model] of models.entries()) {
    const bytes = await readFile(model);
    for (let n = 0; n < lanesEach; n += 1) {
      const offset = (n * WRITERS + lane) * laneBytes;
      bytes.copy(merged, offset, offset, offset + laneBytes);
    }
  }
  return merged;
}

describeS3('everything at once', () => {
  cleanUpAfter('all');

  test(
    `no byte is wrong after ${String(SECONDS)} s (seed ${String(SEED)})`,
    async () => {
      process.stderr.write(`torture: ${String(SECONDS)} s, SEED=${String(SEED)}\n`);
      const random = seededRandom(SEED);
      const { repository, name, original } = await repositoryWithImage('s3', {
        sizeBytes: IMAGE_BYTES,
        extents: [{ offset: 0, lengthBytes: IMAGE_BYTES }],
        seed: SEED,
      });
      await importFile(repository, await guestImage(), 'debian-12');
      await mustLazydisk(['clone', repository.url, 'debian-12', 'vm'], { env: repository.env });
      const disk = await SmallDisk.mount(STATE_DISK_BYTES);
      const proxy = await startFaultyProxy(s3Endpoint());
      undoLater(proxy.close);
      const mounted = await mountRepository({
        repository: through(repository, proxy.url),
        stateDirectory: join(disk.folder, 'state'),
        options: ['--cache-size', '64M', '--timeout', String(TIMEOUT_S), '--fill', 'idle', '--profile', 'auto'],
      });
      const models = Array.from({ length: WRITERS }, (_, lane) => join(temporaryFolder('model'), String(lane)));
      const writers = models.map((model, lane) =>
        start(process.execPath, [
          ...[PROCESS, mounted.path(name), model],
          ...[SEED, lane, WRITERS, IMAGE_BYTES].map(String),
        ]),
      );
      const ending = writers.map(async (writer) => {
        const { status, stdout, stderr } = await writer.ended;
        if (status !== 0) throw new Error(`a writer ended with status ${String(status)}: ${stderr}`);
        return JSON.parse(stdout) as { operations: number; bytesVerified: number; errors: Record<string, number> };
      });
      const writing = Promise.all(ending);
      let over = false;
      const guest = workInGuest(mounted, 'vm', () => over);
      const failure = Promise.race([guest, writing]).then(() => undefined);
      failure.catch(() => undefined);

      const chosen = randomFaults(random, FAULT_RATE, FAULTS);
      let outageUntilMs = 0;
      proxy.choose = (request) => (Date.now() < outageUntilMs ? { kind: 'reset' } : chosen(request));
      const endMs = Date.now() + SECONDS * 1000;
      while (Date.now() < endMs) {
        const action = random();
        if (action < 0.35) await killWhenDue(mounted);
        else if (action < 0.4) {
          await lazydisk(['restart', mounted.mountpoint], { env: repository.env });
          counts.restarts += 1;
        } else if (action < 0.7) await tryCommit(mounted, random() < 0.7 ? name : 'vm');
        else if (action < 0.85) {
          outageUntilMs = Date.now() + 1000 + random() * 5000;
          counts.outages += 1;
        } else {
          await fillDisk(disk, 1000 + random() * 2000);
          counts.fullDisks += 1;
        }
        // A writer or guest that has failed ends the run at once, with its reason.
        await Promise.race([passed(1000 + random() * 4000), failure]);
      }

      over = true;
      proxy.choose = undefined;
      for (const writer of writers) writer.kill('SIGTERM');
      for (const done of await writing) {
        counts.operations += done.operations;
        counts.bytesVerified += done.bytesVerified;
        for (const [code, count] of Object.entries(done.errors))
          counts.errors[code] = (counts.errors[code] ?? 0) + count;
      }
      await guest;
      counts.faults = Object.values(proxy.counts()).reduce((sum, count) => sum + count, 0);

      const expected = await mergedModel(original, models);
      await compare(mounted.path(name), expected);
      const latest = await waitFor('a last commit of both', async () => {
        const guestCommit = await commit(mounted, 'vm');
        return [(await commit(mounted, name)).number, guestCommit.number];
      });
      await compare(mounted.path(name, `${String(latest[0])}.raw`), expected);
      const second = await mountRepository({ repository });
      await compare(second.path(name, `${String(latest[0])}.raw`), expected);
      const [there, here] = [second.path('vm', `${String(latest[1])}.raw`), mounted.path('vm')];
      if ((await checksumOf(there)) !== (await checksumOf(here))) counts.mismatches += 1;
      counts.bytesVerified += (await stat(there)).size;
      await mustLazydisk(['verify', repository.url], { env: repository.env });
      process.stderr.write(`torture: ${JSON.stringify(counts)}\n`);
      expect(counts.mismatches).toBe(0);
      expect(counts.operations).toBeGreaterThan(0);
      expect(counts.kills).toBeGreaterThan(0);
    },
    SECONDS * 1000 + 1_200_000,
  );
});
