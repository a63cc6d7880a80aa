import { describe, expect, test } from '@jest/globals';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryStore } from '../../lib/store/memory-store.js';
import type { ObjectStore } from '../../lib/store/object-store.js';
import { initRepository } from '../../lib/repository/repository.js';
import { LazydiskError, type ErrorCode } from '../../lib/util/errors.js';
import { spoken, type Finding } from '../../mount/cli/doctor/finding.js';
import {
  allowOtherFinding,
  helperFinding,
  kernelFinding,
  LEAST_NODE,
  nodeFinding,
  passthroughFinding,
} from '../../mount/cli/doctor/host.js';
import { spaceFinding, stateFindings } from '../../mount/cli/doctor/state-folder.js';
import { storeFindings } from '../../mount/cli/doctor/store.js';

const GIB = 1024 ** 3;

function outcomes(findings: readonly Finding[]): Record<string, string> {
  return Object.fromEntries(findings.map(({ check, outcome }) => [check, outcome]));
}

function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync('/var/tmp/lazydisk-doctor-test-');
  return use(folder).finally(() => {
    rmSync(folder, { recursive: true });
  });
}

describe('of a host', () => {
  test('Node is what package.json asks for', () => {
    const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as { engines: { node: string } };
    expect(engines.node).toBe(`>=${LEAST_NODE}`);
    expect(['20.19.0', '20.18.3', '22.0.0', '9.99.1'].map((version) => nodeFinding(version).outcome)).toEqual([
      ...['ok', 'fail', 'ok', 'fail'],
    ]);
  });

  test('the kernel is too old, good enough, or good', () => {
    const releases = ['5.3.0', '5.4.0-42-generic', '6.1.0-28-amd64', '6.9.0', '6.18.44', '7.0-rc1'];
    expect(releases.map((release) => kernelFinding(release).outcome)).toEqual([
      ...['fail', 'warn', 'warn', 'ok', 'ok', 'ok'],
    ]);
  });

  test('passthrough is for root, where the kernel has it', () => {
    expect([
      passthroughFinding(true, true).outcome,
      passthroughFinding(true, false).found,
      passthroughFinding(false, true).found,
    ]).toEqual(['ok', 'for root alone', 'missing']);
  });

  test('others may be let in by root, and by users where fuse.conf says so', () =>
    inFolder(async (folder) => {
      const file = join(folder, 'fuse.conf');
      expect((await allowOtherFinding(0, file)).outcome).toBe('ok');
      expect((await allowOtherFinding(1000, file)).outcome).toBe('warn');
      writeFileSync(file, '#user_allow_other\n');
      expect((await allowOtherFinding(1000, file)).outcome).toBe('warn');
      writeFileSync(file, 'mount_max = 10\nuser_allow_other\n');
      expect((await allowOtherFinding(1000, file)).outcome).toBe('ok');
    }));

  test('the helper of mount(8) is a program', () =>
    inFolder(async (folder) => {
      const file = join(folder, 'mount.lazydisk');
      expect((await helperFinding(file)).outcome).toBe('warn');
      writeFileSync(file, '', { mode: 0o755 });
      expect(await helperFinding(file)).toEqual({ check: 'mount(8)', outcome: 'ok', found: file, advice: null });
    }));
});

describe('of the state folder', () => {
  test('a disk with holes will do, also when the folder is not there yet, and nothing is left in it', () =>
    inFolder(async (folder) => {
      const [state] = await stateFindings(join(folder, 'not', 'yet'));
      expect(state).toEqual({
        check: 'state folder',
        outcome: 'ok',
        found: `${join(folder, 'not', 'yet')}: on a disk, with holes`,
        advice: null,
      });
      expect(readdirSync(folder)).toEqual([]);
    }));

  test('memory and what may not be written to will not', async () => {
    expect((await stateFindings('/dev/shm/state'))[0]).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('in memory'),
    });
    expect((await stateFindings('/proc/state'))[0]?.outcome).toBe('fail');
  });

  test('little free space is a warning, next to none a failure', () => {
    expect([
      spaceFinding(100 * GIB, 500 * GIB).outcome,
      spaceFinding(40 * GIB, 500 * GIB).outcome,
      spaceFinding(4 * GIB, 8 * GIB).outcome,
      spaceFinding(GIB / 8, 8 * GIB).outcome,
    ]).toEqual(['ok', 'warn', 'warn', 'fail']);
  });
});

/** A store with some calls of its own. */
function differing(store: MemoryStore, calls: Partial<ObjectStore>): ObjectStore {
  return {
    location: store.location,
    get: (key, options) => store.get(key, options),
    put: (key, bytes, options) => store.put(key, bytes, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (key) => store.delete(key),
    close: () => store.close(),
    ...calls,
  };
}

function rejecting(code: ErrorCode): () => Promise<never> {
  return () => Promise.reject(new LazydiskError(code, `It is ${code}.`));
}

describe('of a store', () => {
  const GOOD = { store: 'ok', writing: 'ok', 'If-None-Match': 'ok', 'reading parts': 'ok', deleting: 'ok' };

  test('everything is tried, and nothing stays there', async () => {
    const store = new MemoryStore();
    expect(outcomes(await storeFindings(store))).toEqual({ ...GOOD, repository: 'warn' });
    expect((await store.list('')).objects).toEqual([]);
    await initRepository(store, {});
    expect(outcomes(await storeFindings(store))).toEqual({ ...GOOD, repository: 'ok' });
    expect((await store.list('')).objects.map(({ key }) => key)).toEqual(['lazydisk.json']);
  });

  test('a store that is away, or says no, is one failure with its sentence', async () => {
    for (const code of ['UNREACHABLE', 'REFUSED'] as const) {
      expect(await storeFindings(differing(new MemoryStore(), { list: rejecting(code) }))).toEqual([
        { check: 'store', outcome: 'fail', found: `It is ${code}.`, advice: null },
      ]);
    }
  });

  test('rights that are missing are told with what they are needed for', async () => {
    const reading = await storeFindings(differing(new MemoryStore(), { put: rejecting('REFUSED') }));
    expect(reading.at(-1)).toMatchObject({
      check: 'writing',
      outcome: 'warn',
      advice: expect.stringContaining('--read-only'),
    });
    const keeping = await storeFindings(differing(new MemoryStore(), { delete: rejecting('REFUSED') }));
    expect(outcomes(keeping)).toEqual({ ...GOOD, repository: 'warn', deleting: 'warn' });
  });

  test('a server that ignores If-None-Match or ranges fails', async () => {
    const store = new MemoryStore();
    const ignoring = differing(store, {
      put: (key, bytes) => store.put(key, bytes),
      get: (key) => store.get(key),
    });
    expect(outcomes(await storeFindings(ignoring))).toMatchObject({ 'If-None-Match': 'fail', 'reading parts': 'fail' });
  });
});

test('each finding is a line, with what to do below it', () => {
  expect(
    spoken([
      { check: 'Node', outcome: 'ok', found: '20.20.2', advice: null },
      { check: 'free space', outcome: 'warn', found: '1 GiB', advice: 'Make room.' },
    ]),
  ).toBe('ok    Node        20.20.2\nwarn  free space  1 GiB\n      Make room.');
});
