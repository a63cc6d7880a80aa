/**
 * What one open page is told: the mount once a second, what commands do, and the picture of the image that it looks at, first
 * whole, then as changes. It ends when the page goes away, or does not take what it is sent.
 */
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { ImagePicture } from '../../lib/image/picture.js';
import type { ImageView, ImageViews } from '../../lib/image/views.js';
import { hasCode, messageOf } from '../../lib/util/errors.js';
import type { OutcomeHistory } from '../tree/outcomes.js';
import type { History } from './history.js';
import { changeMessage, mapMessage } from './map-messages.js';
import type { Pictures } from './pictures.js';
import type { ActivityMessage, MountMessage, NothingMessage } from './protocol.js';

export interface StreamSources {
  readonly views: ImageViews;
  readonly pictures: Pictures;
  readonly history: History;
  /** Without the samples. */
  readonly mount: () => Omit<MountMessage, 'samples'>;
  readonly activity: () => OutcomeHistory;
}

/** A page that has not taken so many bytes gets no picture; one that is so far behind is given up. */
const BEHIND_BYTES = 1024 * 1024;
const LOST_BYTES = 8 * BEHIND_BYTES;
/** An image is found anew so often: it may have been made again, or its head replaced. Milliseconds. */
const FIND_AGAIN_MS = 15_000;
const RETRY_MS = 3000;
/** How long the store may take to say what an image consists of, milliseconds. */
const LOOK_UP_MS = 30_000;
/** Of the last outcomes. */
const MOST_OUTCOMES = 12;

export class PageStream {
  private readonly gone = new AbortController();
  /** Which activity the page knows. */
  private told: string | undefined;

  constructor(
    private readonly sources: StreamSources,
    private readonly response: ServerResponse,
    private readonly image: string | undefined,
  ) {
    response.on('close', () => this.gone.abort());
  }

  /** Resolves when the page is gone. */
  async run(): Promise<void> {
    const { sources, image, gone } = this;
    this.tellMount(sources.history.samples);
    this.tellActivity();
    const unlisten = sources.history.onSample((sample) => {
      this.tellMount([sample]);
      this.tellActivity();
    });
    try {
      while (!gone.signal.aborted) {
        if (image === undefined) await pause(FIND_AGAIN_MS, gone.signal);
        else await this.show(image);
      }
    } finally {
      unlisten();
    }
  }

  /** One image, until it has to be found anew. */
  private async show(image: string): Promise<void> {
    const { views, pictures } = this.sources;
    const { signal } = this.gone;
    const untilMs = performance.now() + FIND_AGAIN_MS;
    let view: ImageView | undefined;
    try {
      view = await views.view(image, signal);
      // In the background: what it finds is in the next picture.
      view?.lookUp(AbortSignal.any([signal, AbortSignal.timeout(LOOK_UP_MS)])).catch(() => undefined);
    } catch (error) {
      if (!hasCode(error, 'ABORTED')) this.send('nothing', nothing(image, messageOf(error)));
    }
    if (view === undefined) {
      this.send('nothing', nothing(image, `There is no image ${image}.`));
      return pause(RETRY_MS, signal);
    }
    let before: ImagePicture | undefined;
    while (!signal.aborted && performance.now() < untilMs) {
      const { picture, pauseMs } = await pictures.of(image, view);
      if (picture === null) this.send('nothing', nothing(image, `${image} has no disk yet.`));
      else before = this.sendPicture(image, picture, before);
      await pause(pauseMs, signal);
    }
  }

  /** What the page has seen then. */
  private sendPicture(
    image: string,
    picture: ImagePicture,
    before: ImagePicture | undefined,
  ): ImagePicture | undefined {
    if (this.response.writableLength > BEHIND_BYTES) return undefined;
    const change = before === undefined ? null : changeMessage(before, picture);
    if (change === null) this.send('map', mapMessage(image, picture));
    else if (change !== undefined) this.send('change', change);
    return picture;
  }

  private tellMount(samples: MountMessage['samples']): void {
    this.send('mount', { ...this.sources.mount(), samples } satisfies MountMessage);
  }

  private tellActivity(): void {
    const { running, outcomes } = this.sources.activity();
    const told = [...running.map(({ id }) => `${id} runs`), outcomes.at(-1)?.id].join();
    if (told === this.told) return;
    this.told = told;
    const activity: ActivityMessage = { running, outcomes: outcomes.slice(-MOST_OUTCOMES).map(brief) };
    this.send('activity', activity);
  }

  private send(event: string, value: unknown): void {
    const { response } = this;
    if (response.destroyed) return;
    if (response.writableLength > LOST_BYTES) response.destroy();
    else response.write(`event: ${event}\ndata: ${JSON.stringify(value)}\n\n`);
  }
}

/** Without results that a page does not show and that may be long, as a boot profile is. */
function brief(outcome: OutcomeHistory['outcomes'][number]): OutcomeHistory['outcomes'][number] {
  return /^(commit|clone|revert|hydrate)\b/.test(outcome.command) ? outcome : { ...outcome, result: null };
}

function nothing(image: string, reason: string): NothingMessage {
  return { image, reason };
}

/** Ends early, without an error, when the signal fires. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, { signal, ref: false }).catch(() => undefined);
}
