/** What listings share. */

/** Shown as the inode of an entry whose node can't be known now. No node ever has this number. */
export const UNKNOWN_NODE = Number.MAX_SAFE_INTEGER;

/** How many entries of one listing are looked up at once. */
export const LOOKUPS_AT_ONCE = 16;
