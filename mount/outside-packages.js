// The packages that the bundled programs (bundle.js) load from node_modules, since they have a binary beside their code.
// All others are inside of the programs.
export const OUTSIDE_PACKAGES = ['koffi', 'classic-level', '@bokuweb/zstd-wasm', 'fuse-native'];
