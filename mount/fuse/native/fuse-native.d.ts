/** The package has no types of its own; module.ts says what is used of it. */
declare module 'fuse-native';
