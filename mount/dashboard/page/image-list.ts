/** The images of the mount at the left: one is chosen, each tells how much of it is here. */
import type { ImageGlance } from '../../../lib/image/views.js';
import type { MountMessage } from '../protocol.js';
import { colored, element, make } from './dom.js';
import { bytes } from './format.js';

/** With so many there is a field to filter them. */
const MANY = 8;

export class ImageList {
  private readonly list = element('image-list');
  private readonly filter = element<HTMLInputElement>('filter');
  private readonly rows = new Map<string, { row: HTMLElement; button: HTMLButtonElement; told: string }>();
  private last: Pick<MountMessage, 'images' | 'names'> = { images: [], names: [] };

  constructor(private readonly onChoose: (image: string) => void) {
    this.filter.addEventListener('input', () => this.show(this.last));
  }

  /** All names, ascending. */
  get names(): readonly string[] {
    return [...new Set([...this.last.names, ...this.last.images.map(({ image }) => image)])].sort();
  }

  show(message: Pick<MountMessage, 'images' | 'names'>, chosen?: string): void {
    this.last = message;
    const glances = new Map(message.images.map((glance) => [glance.image, glance]));
    const { names } = this;
    const wanted = this.filter.value.trim().toLowerCase();
    const shown = names.filter((name) => name.toLowerCase().includes(wanted));
    this.filter.hidden = names.length < MANY;
    for (const name of [...this.rows.keys()]) if (!shown.includes(name)) this.remove(name);
    for (const [index, name] of shown.entries()) {
      const row = this.rowOf(name, glances.get(name));
      if (this.list.children[index] !== row) this.list.insertBefore(row, this.list.children[index] ?? null);
    }
    if (chosen !== undefined) this.mark(chosen);
  }

  mark(chosen: string): void {
    for (const [name, { button }] of this.rows) button.setAttribute('aria-current', String(name === chosen));
  }

  private remove(name: string): void {
    this.rows.get(name)?.row.remove();
    this.rows.delete(name);
  }

  private rowOf(name: string, glance: ImageGlance | undefined): HTMLElement {
    let entry = this.rows.get(name);
    if (entry === undefined) {
      const button = make('button', { type: 'button' });
      button.addEventListener('click', () => this.onChoose(name));
      entry = { row: make('li', {}, button), button, told: '' };
      this.rows.set(name, entry);
    }
    const told = JSON.stringify(glance ?? name);
    if (entry.told !== told) entry.button.replaceChildren(...lines(name, glance));
    entry.told = told;
    return entry.row;
  }
}

function lines(name: string, glance: ImageGlance | undefined): Node[] {
  const line = make('span', { class: 'image-line' }, make('strong', {}, name));
  if (glance === undefined) return [line, make('span', { class: 'image-note' }, 'not looked at yet')];
  line.append(make('span', {}, bytes(glance.sizeBytes)));
  return [line, shares(glance), make('span', { class: 'image-note' }, noteOf(glance))];
}

/** What is here, written and missing, of all that is no zero. */
function shares({ localBytes, dirtyBytes, missingBytes }: ImageGlance): HTMLElement {
  const all = Math.max(1, localBytes + dirtyBytes + missingBytes);
  const parts = (
    [
      ['local', localBytes],
      ['dirty', dirtyBytes],
      ['remote', missingBytes],
    ] as const
  ).map(([color, amount]) => {
    const part = colored('i', color);
    part.style.width = `${String((100 * amount) / all)}%`;
    return part;
  });
  return make('span', { class: 'share', 'aria-hidden': 'true' }, ...parts);
}

export function noteOf(glance: ImageGlance): string {
  if (glance.failure !== null) return 'failed: see the log';
  if (glance.committing) return 'a commit runs';
  if (glance.hydrating !== null) return 'being hydrated';
  const here = glance.missingBytes === 0 ? 'all here' : `${bytes(glance.localBytes)} here`;
  const parts = [here];
  if (glance.dirtyBytes > 0) parts.push(`${bytes(glance.dirtyBytes)} written`);
  if (glance.openCount > 0) parts.push('open');
  return parts.join(' \u00b7 ');
}
