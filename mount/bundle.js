// Makes one file of each program out of hundreds: what Node has to find, read and link before `lazydisk` does anything.
//
// It runs after tsc, which has made dist/ for those who use lazydisk as a library, and puts the programs in the place of their
// entry files: the command line, the daemon, and the daemon's threads. All of them, and the parts that they share or load
// later, stand in one folder, where `new URL('./worker.js', import.meta.url)` finds them whatever part asks. Names and lines
// are kept as they are, so that a stack trace can be read. Packages with a binary stay outside; all stay dependencies, for
// the library. The reasons and the figures: docs/decisions/0006-programs-in-one-file.md.
import { build } from 'esbuild';

await build({
  entryPoints: [
    'mount/cli/main.ts',
    'mount/cli/daemon-main.ts',
    'mount/fuse/worker.ts',
    'mount/fuse/unmount-thread.ts',
  ],
  outdir: 'dist/mount/cli',
  entryNames: '[name]',
  chunkNames: 'part-[hash]',
  bundle: true,
  splitting: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  external: ['koffi', 'classic-level', 'fuse-native', '@bokuweb/zstd-wasm'],
  // CommonJS packages ask for Node's own modules by `require`, which a module does not have.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
  logLevel: 'warning',
});
