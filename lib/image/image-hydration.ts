/** Hydrating one image (hydrate.ts): once at a time, how far it is, and its end. */
import { LazydiskError } from '../util/errors.js';
import type { HydrateOutcome, ImageStatus } from './api.js';
import type { FollowedHead } from './followed-head.js';
import type { HeadParts } from './head.js';
import { hydrate } from './hydrate.js';

export interface HydrationParts {
  readonly heads: Pick<HeadParts, 'bases' | 'mirror'>;
  /** Fires when the catalogue is being closed. */
  readonly closing: AbortSignal;
}

export class ImageHydration {
  private current: ImageStatus['hydrating'] = null;
  private running: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly parts: HydrationParts,
    private readonly image: string,
    private readonly head: FollowedHead,
  ) {}

  /** How far it is; null: none runs. */
  get progress(): ImageStatus['hydrating'] {
    return this.current;
  }

  /** The head's base, or a snapshot. BUSY: one runs; NO_SPACE, NOT_FOUND, UNREACHABLE, DAMAGED, ABORTED. */
  async run(number: number | undefined): Promise<HydrateOutcome> {
    if (this.current !== null) throw new LazydiskError('BUSY', `${this.image} is being hydrated: wait for its end.`);
    this.current = { arrivedBytes: 0, totalBytes: 0 };
    const running = this.hydrate(number).finally(() => {
      this.current = null;
    });
    this.running = running.catch(() => undefined);
    return running;
  }

  /** Resolves when none runs. */
  async settled(): Promise<void> {
    await this.running;
  }

  private async hydrate(number: number | undefined): Promise<HydrateOutcome> {
    const { heads, closing } = this.parts;
    const base = await this.head.acquireBase(number, closing);
    const totalBytes = base.missingBytes();
    this.current = { arrivedBytes: 0, totalBytes };
    try {
      return await hydrate(base, {
        image: this.image,
        quotaBytes: heads.mirror.statistics().quotaBytes,
        signal: closing,
        onProgress: (arrivedBytes) => {
          this.current = { arrivedBytes, totalBytes };
        },
      });
    } finally {
      await heads.bases.release(base);
    }
  }
}
