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

export default {
  rootDir,
  testTimeout,
  testSequencer: '<rootDir>/tests/passes/longest-first.js',
  // Node keeps the modules of every file that was run: a worker that has run a hundred spends most of its time on collecting them.
  workerIdleMemoryLimit: '500MB',
  projects: [
    pass('unit', '**/*', { without: '(mounted|guest|torture)/' }),
    pass('mounted', 'mounted/*'),
    // What kernels lack, as this driver sees it: all but what is about ways to install, recipes, and what is run with an empty
    // environment, in which nothing is masked.
    pass('masked', 'mounted/*', {
      without: 'mounted/(install|recipes|demo|doctor|fstab|users|users-allowed)\\.',
      environment: { LAZYDISK_FUSE_WITHOUT: 'async-read,async-dio,parallel-dirops,readdirplus,passthrough,resend' },
    }),
    // All but what is run on the default driver in any pass.
    pass('native', 'mounted/*', {
      without: 'mounted/(demo|doctor)\\.',
      environment: { LAZYDISK_TEST_DRIVER: 'fuse-native' },
    }),
    pass('guest', 'guest/*', { without: 'guest/host\\.' }),
    // Too long for every run (tests/tools/run-tests.sh): programs start slowly in a guest without KVM.
    pass('host', 'guest/host'),
  ],
};
