/**
 * Pictures for all pages: pages that look at the same image at the same time share one, and taking them never takes more than a
 * small share of the main thread's time, however large the image is.
 */
import type { ImagePicture } from '../../lib/image/picture.js';
import type { ImageView } from '../../lib/image/views.js';
import { MOST_CELLS } from './protocol.js';

/** A picture is taken so often at most, milliseconds. */
const LEAST_PAUSE_MS = 400;
/** After a picture, a pause of so many times what it took. */
const PAUSE_FACTOR = 20;

interface Taken {
  readonly picture: Promise<ImagePicture | null>;
  /** When the next one may begin, by the monotonic clock; 0 while this one is being taken. */
  nextMs: number;
}

export class Pictures {
  private readonly taken = new Map<string, Taken>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** A picture of the image, a moment old; null: nothing of it is in memory. Resolves to it and to how long to wait for the next. */
  async of(name: string, view: ImageView): Promise<{ picture: ImagePicture | null; pauseMs: number }> {
    const last = this.taken.get(name);
    const taken = last !== undefined && (last.nextMs === 0 || last.nextMs > this.now()) ? last : this.begin(name, view);
    const picture = await taken.picture;
    return { picture, pauseMs: Math.max(1, taken.nextMs - this.now()) };
  }

  /** Nobody looks at it any more. */
  forget(name: string): void {
    this.taken.delete(name);
  }

  private begin(name: string, view: ImageView): Taken {
    const startMs = this.now();
    const taken: Taken = {
      nextMs: 0,
      picture: view.picture(MOST_CELLS).finally(() => {
        const endMs = this.now();
        taken.nextMs = endMs + Math.max(LEAST_PAUSE_MS, PAUSE_FACTOR * (endMs - startMs));
      }),
    };
    this.taken.set(name, taken);
    return taken;
  }
}
