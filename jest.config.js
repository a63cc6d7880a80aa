// Unit tests run on the sources through swc; tests that start worker threads or the program use the built dist.
export default {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' } },
    ],
  },
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  testMatch: ['<rootDir>/tests/**/*.test.ts'],
  // A busy machine is no failure: only what hangs takes that long. What boots guests has limits of its own.
  testTimeout: 300_000,
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.cache'],
};
