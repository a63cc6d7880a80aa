/**
 * What `make test` runs: every test file in each of its passes, all in one queue, so that the cores are never left to one
 * test that waits. A pass is a set of files and the environment that they see; `--selectProjects mounted masked` runs some.
 *
 * A file runs beside any other, also beside itself in another pass: it has folders, buckets, ports and mountpoints of its
 * own. What there is only once in a system (/dev/fuse, /sbin/mount.lazydisk) is taken by `tests/helpers/alone.ts`.
 */
import { fileURLToPath } from 'node:url';
import common from '../../jest.config.js';

const { testTimeout, ...project } = common;
const rootDir = fileURLToPath(new URL('../..', import.meta.url));

/** `files`: a pattern of names below tests; `without`: another; `environment`: variables of the tests and of what they start. */
function pass(displayName, files, { without = '', environment = {} } = {}) {
  return {
    ...project,
    displayName,
    rootDir,
    testMatch: [`<rootDir>/tests/${files}.test.ts`],
    testPathIgnorePatterns: without === '' ? [] : [`<rootDir>/tests/${without}`],
    globals: { PASS_ENVIRONMENT: environment },
    setupFiles: ['<rootDir>/tests/passes/environment.js'],
  };
}

/** What is run on the default driver in any pass. */
const OF_NO_DRIVER = ['demo', 'doctor'];

/**
 * What no feature of a kernel changes: which side of a store or of another host fails, how often and when chunks are fetched, who
 * may do what, what the daemon tells of itself. And what runs with an empty environment, in which nothing is masked.
 */
const OF_NO_KERNEL = [
  ...[
    'faults',
    'mirror',
    'fill',
    'profile',
    'commit-ways',
    'two-mounts',
    'read-rights',
    'secrets',
    'seeing',
    'dashboard',
  ],
  ...['install', 'recipes', 'fstab', 'users', 'users-allowed'],
];

const LAZYDISK_FUSE_WITHOUT = 'async-read,async-dio,parallel-dirops,readdirplus,passthrough,resend';

/** The pattern of these files of tests/mounted. */
function named(...files) {
  return `mounted/(${files.join('|')})\\.`;
}

export default {
  rootDir,
  testTimeout,
  testSequencer: '<rootDir>/tests/passes/longest-first.js',
  // Node keeps the modules of every file that was run: a worker that has run a hundred spends most of its time on collecting them.
  workerIdleMemoryLimit: '500MB',
  projects: [
    pass('unit', '**/*', { without: '(mounted|guest|torture)/' }),
    pass('mounted', 'mounted/*'),
    // What kernels lack, as this driver sees it.
    pass('masked', 'mounted/*', {
      without: named(...OF_NO_DRIVER, ...OF_NO_KERNEL),
      environment: { LAZYDISK_FUSE_WITHOUT },
    }),
    pass('native', 'mounted/*', {
      without: named(...OF_NO_DRIVER),
      environment: { LAZYDISK_TEST_DRIVER: 'fuse-native' },
    }),
    pass('guest', 'guest/*', { without: 'guest/host\\.' }),
    // Too long for every run (tests/tools/run-tests.sh): programs start slowly in a guest without KVM.
    pass('host', 'guest/host'),
  ],
};
