/** The page: one stream of events from the daemon, and what each of them changes. */
import type { ImageGlance } from '../../../lib/image/views.js';
import {
  HISTORY_SECONDS,
  type ActivityMessage,
  type ChangeMessage,
  type FirstReadsMessage,
  type MapMessage,
  type MountMessage,
  type NothingMessage,
} from '../protocol.js';
import { refreshTimes, showActivity } from './activity.js';
import { Charts } from './charts.js';
import { Dialogs } from './dialogs.js';
import { element, setText } from './dom.js';
import { readEvents, type ServerEvent } from './events.js';
import { showImageHead } from './image-head.js';
import { ImageList } from './image-list.js';
import { showLegend } from './legend.js';
import { startLens } from './lens.js';
import { MapModel, type Lens } from './map-model.js';
import { MapView } from './map-view.js';
import { showMountHead } from './mount-head.js';
import { ask, forgetToken, keepToken, NotAllowed, takeToken } from './session.js';
import { startTheme } from './theme.js';

/** A daemon that does not answer is asked again after so long, then later and later, milliseconds. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;

class App {
  private readonly model = new MapModel();
  private readonly map = new MapView(this.model);
  private readonly charts = new Charts(HISTORY_SECONDS);
  private readonly dialogs = new Dialogs();
  private readonly list = new ImageList((image) => this.choose(image));
  private image: string | undefined;
  private glance: ImageGlance | undefined;
  private orderedFor = '';
  private stream = new AbortController();

  start(): void {
    startTheme(() => this.map.recolor());
    startLens((lens) => this.look(lens));
    element('token-form').addEventListener('submit', (event) => {
      event.preventDefault();
      keepToken(element<HTMLInputElement>('token').value.trim());
      this.enter();
    });
    addEventListener('hashchange', () => {
      if (location.hash.startsWith('#token=') && takeToken() !== null) this.enter();
      else this.choose(imageOfAddress());
    });
    const hasToken = takeToken() !== null;
    this.image = imageOfAddress();
    if (hasToken) this.enter();
    else this.askForToken('');
  }

  private enter(): void {
    element('door').hidden = true;
    element('rooms').hidden = false;
    void this.listen();
  }

  private askForToken(problem: string): void {
    element('rooms').hidden = true;
    element('door').hidden = false;
    setText(element('token-problem'), problem);
    element('token').focus();
  }

  private choose(image: string | undefined): void {
    if (image === undefined || image === this.image) return;
    this.image = image;
    history.replaceState(null, '', `#image=${encodeURIComponent(image)}`);
    this.list.mark(image);
    void this.listen();
  }

  /** Follows the events of one stream after the other, until another image is chosen. */
  private async listen(): Promise<void> {
    this.stream.abort();
    const { signal } = (this.stream = new AbortController());
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        const query = this.image === undefined ? '' : `?image=${encodeURIComponent(this.image)}`;
        const { body } = await ask(`/api/events${query}`, { signal });
        this.charts.clear();
        this.tellTrouble(undefined);
        pauseMs = FIRST_PAUSE_MS;
        await readEvents(body!, (event) => this.take(event));
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof NotAllowed) {
          forgetToken();
          return this.askForToken(error.message);
        }
      }
      if (!signal.aborted)
        this.tellTrouble('The daemon does not answer: what you see is what it said last. Trying again\u2026');
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  private take({ name, data }: ServerEvent): void {
    switch (name) {
      case 'mount':
        return this.takeMount(data as MountMessage);
      case 'activity':
        return showActivity(data as ActivityMessage);
      case 'map':
        this.model.replace(data as MapMessage);
        return this.mapChanged();
      case 'change':
        this.model.change(data as ChangeMessage);
        return this.mapChanged();
      case 'nothing':
        return this.tellEmpty((data as NothingMessage).reason);
    }
  }

  private takeMount(message: MountMessage): void {
    showMountHead(message);
    this.charts.add(message.samples);
    this.list.show(message, this.image);
    refreshTimes();
    if (this.image === undefined) return this.choose(busiest(message.images)?.image ?? this.list.names[0]);
    this.glance = message.images.find(({ image }) => image === this.image);
    showImageHead(this.image, this.glance);
    this.dialogs.show(this.glance, message.readOnly);
    if (this.map.lens !== 'state') void this.askOrders();
  }

  private mapChanged(): void {
    element('map-empty').hidden = true;
    this.redraw();
  }

  private redraw(): void {
    this.map.draw();
    this.map.tell();
    showLegend(this.model, this.map.lens);
  }

  private tellEmpty(reason: string): void {
    element('map-empty').hidden = false;
    setText(element('map-empty'), reason);
  }

  private look(lens: Lens): void {
    this.map.lens = lens;
    this.redraw();
    if (lens !== 'state') void this.askOrders();
  }

  /** Orders are asked for where they are looked at, and again when more was read. */
  private async askOrders(): Promise<void> {
    const { image } = this;
    const wanted = `${image ?? ''} ${String(this.glance?.touchedChunks)} ${String(this.model.chunks)}`;
    if (image === undefined || this.orderedFor === wanted) return;
    this.orderedFor = wanted;
    try {
      const response = await ask(`/api/first-reads?image=${encodeURIComponent(image)}`);
      this.model.setOrders((await response.json()) as FirstReadsMessage);
      this.redraw();
    } catch (error) {
      this.orderedFor = '';
      this.tellEmpty(error instanceof Error ? error.message : String(error));
    }
  }

  private tellTrouble(text: string | undefined): void {
    element('banner').hidden = text === undefined;
    setText(element('banner'), text ?? '');
  }
}

function imageOfAddress(): string | undefined {
  const name = /^#image=(.+)$/.exec(location.hash)?.[1];
  return name === undefined ? undefined : decodeURIComponent(name);
}

/** The image that most goes on with. */
function busiest(images: readonly ImageGlance[]): ImageGlance | undefined {
  const weight = ({ openCount, dirtyBytes, localBytes }: ImageGlance): number =>
    openCount * 2 ** 50 + dirtyBytes * 1024 + localBytes;
  return [...images].sort((a, b) => weight(b) - weight(a))[0];
}

new App().start();
