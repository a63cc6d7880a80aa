/**
 * The driver that mounted tests run on: LAZYDISK_TEST_DRIVER, the kernel driver by default. tests/tools/run-tests.sh runs
 * them once on each.
 *
 * What the second driver can't do is skipped by name, test by test, so that the list of skipped tests is the list of its
 * limits.
 */
import { test } from '@jest/globals';

export type TestDriver = 'kernel' | 'fuse-native';

/** What a driver can do that the other can't. */
export type DriverFeature = 'discard' | 'hole seeking';

const FEATURES: Readonly<Record<TestDriver, readonly DriverFeature[]>> = {
  kernel: ['discard', 'hole seeking'],
  // libfuse 2 has no operation for either.
  'fuse-native': [],
};

export const testDriver: TestDriver = chosen(process.env['LAZYDISK_TEST_DRIVER']);

/** `test` where the driver has the feature, else `test.skip`. */
export function testWith(feature: DriverFeature): typeof test | typeof test.skip {
  return supports(feature) ? test : test.skip;
}

/** Whether the driver has the feature: for tests that can do without it. */
export function supports(feature: DriverFeature): boolean {
  return FEATURES[testDriver].includes(feature);
}

/** `test` on one driver, for what is a fact of that one alone. */
export function testOn(driver: TestDriver): typeof test | typeof test.skip {
  return testDriver === driver ? test : test.skip;
}

function chosen(name: string | undefined): TestDriver {
  if (name === undefined || name === '' || name === 'kernel') return 'kernel';
  if (name === 'fuse-native') return name;
  throw new Error(`LAZYDISK_TEST_DRIVER is kernel or fuse-native, not ${name}`);
}
