/**
 * The driver that mounted tests run on: LAZYDISK_TEST_DRIVER, the kernel driver by default. tests/passes/jest.config.js has
 * them once on each, and once on the kernel driver without the features of later kernels (LAZYDISK_FUSE_WITHOUT).
 *
 * What can't be done so is skipped by name, test by test, so that the list of skipped tests is the list of the limits.
 */
import { describe, test } from '@jest/globals';

export type TestDriver = 'kernel' | 'fuse-native';

/** What can't be done everywhere. */
export type DriverFeature = 'discard' | 'hole seeking' | 'taking over' | 'passthrough';

const FEATURES: Readonly<Record<TestDriver, readonly DriverFeature[]>> = {
  kernel: ['discard', 'hole seeking', 'taking over', 'passthrough'],
  // libfuse 2 has no operation for any of them.
  'fuse-native': [],
};

export const testDriver: TestDriver = chosen(process.env['LAZYDISK_TEST_DRIVER']);

/** By the name that LAZYDISK_FUSE_WITHOUT has for what a feature needs of the kernel. */
const NEEDS: Readonly<Partial<Record<DriverFeature, string>>> = { 'taking over': 'resend', passthrough: 'passthrough' };
const masked = (process.env['LAZYDISK_FUSE_WITHOUT'] ?? '').split(',').filter(Boolean);

/** The pass that looks at everything. What no driver and no kernel knows of (repositories, faults of a store) is looked at once in the others. */
export const isMainPass = testDriver === 'kernel' && masked.length === 0;

/** `test` where the feature is there, else `test.skip`. */
export function testWith(feature: DriverFeature): typeof test | typeof test.skip {
  return supports(feature) ? test : test.skip;
}

/** The same for a group of tests. */
export function describeWith(feature: DriverFeature): typeof describe | typeof describe.skip {
  return supports(feature) ? describe : describe.skip;
}

/** Whether the feature is there: for tests that can do without it. */
export function supports(feature: DriverFeature): boolean {
  const need = NEEDS[feature];
  return FEATURES[testDriver].includes(feature) && (need === undefined || !masked.includes(need));
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
