/** What the colours of the map mean, and how much of the image each covers: the map in words, for everybody. */
import { bytes, percent, plural } from './format.js';
import { colored, element, make } from './dom.js';
import type { Lens, MapModel } from './map-model.js';
import { STATE_LABELS } from './words.js';

/** The most telling first. */
const ORDER = ['local', 'fetching', 'dirty', 'frozen', 'remote', 'unknown', 'zero'] as const;

export function showLegend(model: MapModel, lens: Lens): void {
  element('legend').replaceChildren(...(lens === 'state' ? states(model) : order(model, lens)));
}

function states({ counts, chunkSizeBytes, chunks }: MapModel): Node[] {
  return ORDER.map((name) => {
    const amount =
      counts[name] === 0
        ? '\u2013'
        : `${bytes(counts[name] * chunkSizeBytes)} \u00b7 ${percent(counts[name] / chunks)}`;
    return entry(colored('span', name, 'swatch'), STATE_LABELS[name], amount);
  });
}

function order(model: MapModel, lens: 'touched' | 'profile'): Node[] {
  const chunks = model.orderedChunks(lens);
  const amount =
    chunks === undefined ? 'asking\u2026' : `${plural(chunks, 'chunk')}, ${bytes(chunks * model.chunkSizeBytes)}`;
  const title = lens === 'touched' ? 'read since this mount has it' : 'named by the boot profile';
  return [
    entry(make('span', { class: 'ramp' }), 'from the first to the last', ''),
    entry(colored('span', 'zero', 'swatch'), 'never', ''),
    entry('', title, amount),
  ];
}

function entry(sign: Node | string, label: string, amount: string): Node {
  return make('div', {}, make('dt', {}, sign, label), make('dd', {}, amount));
}
