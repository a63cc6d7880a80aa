/**
 * One chart: some series over the last minutes, stacked or as lines, with the newest value in large. Its picture is SVG; a
 * pointer over it reads the values of that moment.
 */
import type { Sample } from '../protocol.js';
import { colored, make } from './dom.js';

export interface Series {
  readonly label: string;
  /** Name in the style sheet. */
  readonly color: string;
  /** null: nothing was measured. */
  readonly value: (sample: Sample) => number | null;
}

export interface ChartKind {
  readonly title: string;
  readonly series: readonly Series[];
  readonly shape: 'stack' | 'lines';
  readonly format: (value: number) => string;
  /** The number in large, and a note to it. */
  readonly headline: (sample: Sample | undefined) => { readonly value: string; readonly note: string };
  /** The least that the whole height stands for. */
  readonly leastTop: number;
}

/** Seconds that are shown. */
const SPAN = 120;
const WIDTH = 600;
const HEIGHT = 96;
const SVG = 'http://www.w3.org/2000/svg';

export class Chart {
  readonly root: HTMLElement;
  private readonly output = make('output');
  private readonly svg = svg('svg', {
    viewBox: `0 0 ${String(WIDTH)} ${String(HEIGHT)}`,
    preserveAspectRatio: 'none',
    role: 'img',
  });
  private readonly shapes: readonly SVGPathElement[];
  private readonly hand = svg('line', { class: 'hand', y1: '0', y2: String(HEIGHT), visibility: 'hidden' });
  private readonly top = make('span');
  private readonly middle = make('span', {}, 'the last two minutes');
  private shown: readonly Sample[] = [];
  private pointed: number | undefined;

  constructor(private readonly kind: ChartKind) {
    const { series, shape, title } = kind;
    for (const share of [0, 0.5, 1]) {
      const y = String(share * HEIGHT);
      this.svg.append(svg('line', { class: 'grid', x1: '0', x2: String(WIDTH), y1: y, y2: y }));
    }
    this.shapes = series.map(({ color }) => {
      const path = svg('path', shape === 'lines' ? { class: 'line' } : {});
      path.style[shape === 'lines' ? 'stroke' : 'fill'] = `var(--${color})`;
      return path;
    });
    this.svg.append(...this.shapes, this.hand);
    const keys = series.map(({ label, color }) => make('span', {}, colored('i', color), label));
    this.root = make(
      'section',
      { class: 'card chart' },
      make('div', { class: 'card-head' }, make('h2', {}, title), this.output),
      this.svg,
      make('div', { class: 'axis', 'aria-hidden': 'true' }, this.middle, this.top),
      make('div', { class: 'keys' }, ...(series.length > 1 ? keys : [])),
    );
    this.svg.addEventListener('pointermove', ({ offsetX }) => this.point(offsetX / this.svg.clientWidth));
    this.svg.addEventListener('pointerleave', () => this.point(undefined));
  }

  show(samples: readonly Sample[]): void {
    this.shown = samples.slice(-SPAN);
    const tops = this.shown.map((sample) => this.heightOf(sample));
    const top = niceTop(Math.max(this.kind.leastTop, ...tops));
    for (const [index, path] of this.shapes.entries()) path.setAttribute('d', this.pathOf(index, top));
    this.top.textContent = `up to ${this.kind.format(top)}`;
    this.tell();
  }

  private heightOf(sample: Sample): number {
    const values = this.kind.series.map(({ value }) => value(sample) ?? 0);
    return this.kind.shape === 'stack' ? values.reduce((sum, value) => sum + value, 0) : Math.max(...values);
  }

  private point(share: number | undefined): void {
    const index = share === undefined ? undefined : Math.round(share * (SPAN - 1)) - (SPAN - this.shown.length);
    this.pointed = index === undefined || this.shown[index] === undefined ? undefined : index;
    this.tell();
  }

  private tell(): void {
    const { kind, shown, pointed } = this;
    const sample = shown[pointed ?? shown.length - 1];
    const { value, note } = kind.headline(sample);
    this.output.replaceChildren(value, make('small', {}, note));
    this.svg.setAttribute('aria-label', `${kind.title}: ${value} ${note}`);
    this.hand.setAttribute('visibility', pointed === undefined ? 'hidden' : 'visible');
    if (pointed === undefined || sample === undefined) {
      this.middle.textContent = 'the last two minutes';
      return;
    }
    const x = String(this.xOf(pointed));
    this.hand.setAttribute('x1', x);
    this.hand.setAttribute('x2', x);
    const parts = kind.series.map(({ label, value: valueOf }) => {
      const at = valueOf(sample);
      return at === null ? '' : `${label} ${kind.format(at)}`;
    });
    const time = new Date(sample.atMs).toLocaleTimeString();
    this.middle.textContent = [time, ...parts.filter((part) => part !== '')].join('   ');
  }

  private xOf(index: number): number {
    return ((SPAN - this.shown.length + index) / (SPAN - 1)) * WIDTH;
  }

  private pathOf(series: number, top: number): string {
    return this.kind.shape === 'stack' ? this.areaOf(series, top) : this.lineOf(series, top);
  }

  private areaOf(series: number, top: number): string {
    if (this.shown.length === 0) return '';
    const below = (sample: Sample, upTo: number): number =>
      this.kind.series.slice(0, upTo).reduce((sum, { value }) => sum + (value(sample) ?? 0), 0);
    const points = (upTo: number): string[] =>
      this.shown.map((sample, index) => pointOf(this.xOf(index), below(sample, upTo) / top));
    return `M${[...points(series + 1), ...points(series).reverse()].join('L')}Z`;
  }

  /** With gaps where nothing was measured; what stands alone is a short stroke. */
  private lineOf(series: number, top: number): string {
    const { value } = this.kind.series[series]!;
    let path = '';
    let isOpen = false;
    for (const [index, sample] of this.shown.entries()) {
      const at = value(sample);
      if (at !== null) {
        const x = this.xOf(index);
        path += isOpen ? `L${pointOf(x, at / top)}` : `M${pointOf(x - 2, at / top)}L${pointOf(x, at / top)}`;
      }
      isOpen = at !== null;
    }
    return path;
  }
}

function pointOf(x: number, share: number): string {
  return `${x.toFixed(1)} ${(HEIGHT * (1 - share)).toFixed(1)}`;
}

/** The next of 1, 2, 4, 8, 16 … times a power of 1024, or of ten for what is not bytes, is close enough: the next power of two. */
function niceTop(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(value, 1)));
}

function svg<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string>>,
): SVGElementTagNameMap[Name] {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
