/** What may be said about a disk that is opened to be imported. */
import type { Intake } from './image-source.js';
import type { Checksum } from './input.js';

export interface OpenOptions {
  /** `raw` insists: what a file begins with is not looked at. */
  readonly format?: 'raw' | undefined;
  /** Of the file as it is, packed or not. */
  readonly checksum?: Checksum | undefined;
  /** Also read other files that a container names. */
  readonly follow?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How far something is that is read in order. */
  readonly onIntake?: ((intake: Intake) => void) | undefined;
}
