import tseslint from 'typescript-eslint';

// The rooms, from the ground up, and the rooms that each may import (docs/ARCHITECTURE.md). Arrows point down only;
// every room may use itself, lib/util and lib/format.
const LIBRARY = ['image', 'mirror', 'repository', 'store', 'format', 'util'];
const DAEMON = ['service', 'tree', 'fuse', ...LIBRARY];
const ROOMS = {
  'lib/util': [],
  'lib/format': ['util'],
  'lib/store': ['util'],
  'lib/disks': ['format', 'util'],
  'lib/repository': ['disks', 'store', 'format', 'util'],
  'lib/mirror': ['repository', 'store', 'format', 'util'],
  'lib/image': ['mirror', 'repository', 'store', 'format', 'util'],
  'mount/fuse': LIBRARY,
  'mount/tree': ['fuse', ...LIBRARY],
  'mount/service': ['tree', 'fuse', ...LIBRARY],
  'mount/metrics': DAEMON,
  'mount/dashboard': DAEMON,
  'mount/cli': ['dashboard', 'metrics', ...DAEMON],
  'mount/reference': ['cli', 'dashboard', 'metrics', ...DAEMON],
};
const ALL_ROOMS = Object.keys(ROOMS).map((room) => room.split('/')[1]);

// Each outside library has one owner.
const OWNERS = {
  minio: ['lib/store'],
  level: ['lib/mirror'],
  'p-queue': ['lib/mirror', 'lib/repository'],
  koffi: ['lib/util'],
  '@bokuweb/zstd-wasm': ['lib/util'],
  '@smithy/core': ['lib/store'],
  '@aws-sdk/credential-provider-ini': ['lib/store'],
  '@aws-sdk/credential-provider-node': ['lib/store'],
  'fuse-native': ['mount/fuse'],
  'prom-client': ['mount/metrics'],
  yargs: ['mount/cli'],
};

const layerRules = Object.entries(ROOMS).map(([room, allowed]) => {
  const own = room.split('/')[1];
  const forbidden = ALL_ROOMS.filter((name) => name !== own && !allowed.includes(name));
  const strangers = Object.keys(OWNERS).filter((library) => !OWNERS[library].includes(room));
  return {
    files: [`${room}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            ...forbidden.map((name) => ({
              regex: `^\\.{1,2}/.*\\b${name}/`,
              message: `${room} must not use ${name}: arrows point down only (docs/ARCHITECTURE.md).`,
            })),
            ...strangers.map((library) => ({
              regex: `^${library}($|/)`,
              message: `${library} has another owner: ${OWNERS[library].join(', ')}.`,
            })),
          ],
        },
      ],
    },
  };
});

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '.cache/**', 'tests/fixtures/**'] },
  ...tseslint.configs.strict,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      'no-restricted-syntax': ['error', { selector: 'ExportDefaultDeclaration', message: 'Named exports only.' }],
    },
  },
  { files: ['**/*.cjs'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
  ...layerRules,
);
