/** What the cells of a picture say: known to those who take pictures and to those who show them, in a browser too. */

/**
 * States of a chunk, the more it matters the later: zeros; not looked up yet; in the store only; on this host; with writes that
 * a commit has frozen; with writes that no snapshot has; on its way to this host.
 */
export const CHUNK_STATES = ['zero', 'unknown', 'remote', 'local', 'frozen', 'dirty', 'fetching'] as const;
export type ChunkState = (typeof CHUNK_STATES)[number];

/** A cell is the index of its state, and from this bit on its share, in eighths, less one. */
export const SHARE_SHIFT = 3;
