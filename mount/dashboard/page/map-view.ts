/**
 * The map on its canvas. It draws when something has changed, and while cells glow that just did; then it rests. A pointer or
 * the arrow keys choose a cell, which is told in words.
 */
import { bytes, plural } from './format.js';
import { CHUNK_STATES } from '../../../lib/image/picture-cells.js';
import { css, mix, readPalette, type Palette, type Rgb } from './colors.js';
import { element, setText } from './dom.js';
import { cellAfterKey, cellAt, layGrid, type Grid } from './grid.js';
import type { Lens, MapModel } from './map-model.js';
import { STATE_LABELS } from './words.js';

const WANTED_HEIGHT = 400;
const GLOW_MS = 900;
/** Rows between two offsets at the left, pixels. */
const LABEL_EVERY = 44;

export class MapView {
  lens: Lens = 'state';
  private readonly canvas = element<HTMLCanvasElement>('map');
  private readonly readout = element('readout');
  private readonly still = matchMedia('(prefers-reduced-motion: reduce)');
  private palette: Palette = readPalette();
  private grid: Grid | undefined;
  private chosen: number | undefined;
  private frame = 0;

  constructor(private readonly model: MapModel) {
    new ResizeObserver(() => this.draw()).observe(element('map-frame'));
    this.canvas.addEventListener('pointermove', ({ offsetX, offsetY }) => {
      this.choose(this.grid && cellAt(this.grid, this.model.cells.length, offsetX, offsetY));
    });
    this.canvas.addEventListener('pointerleave', () => this.choose(undefined));
    this.canvas.addEventListener('blur', () => this.choose(undefined));
    this.canvas.addEventListener('keydown', (event) => {
      if (this.grid === undefined) return;
      const next = cellAfterKey(event.key, this.chosen ?? 0, this.model.cells.length, this.grid.columns);
      if (next === undefined) return;
      event.preventDefault();
      this.choose(next);
    });
  }

  recolor(): void {
    this.palette = readPalette();
    this.draw();
  }

  /** Draws in the next frame, once. */
  draw(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.paint());
  }

  private choose(cell: number | undefined): void {
    if (cell === this.chosen) return;
    this.chosen = cell;
    this.tell();
    this.draw();
  }

  /** The chosen cell in words. */
  tell(): void {
    const { model, chosen } = this;
    if (chosen === undefined || chosen >= model.cells.length) return setText(this.readout, this.hint());
    const first = chosen * model.chunksPerCell;
    const count = Math.min(model.chunksPerCell, model.chunks - first);
    const name = count === 1 ? `chunk ${String(first)}` : `chunks ${String(first)}\u2013${String(first + count - 1)}`;
    const end = Math.min(model.sizeBytes, (first + count) * model.chunkSizeBytes);
    const where = `${name}, ${bytes(model.offsetOf(chosen))} to ${bytes(end)}`;
    setText(this.readout, `${where}: ${this.meaning(chosen, count)}`);
  }

  private meaning(cell: number, count: number): string {
    const { model, lens } = this;
    if (lens !== 'state') {
      const order = model.orderOf(lens, cell);
      return order === 0
        ? 'never wanted'
        : `wanted after ${String(Math.round((100 * (order - 1)) / 254))} % of the others`;
    }
    const label = STATE_LABELS[CHUNK_STATES[model.stateOf(cell)]!];
    const eighths = model.eighthsOf(cell);
    return count === 1 || model.stateOf(cell) === 0 || eighths === 8 ? label : `${label}, ${String(eighths)}/8 of them`;
  }

  private hint(): string {
    const { chunks, chunksPerCell, chunkSizeBytes } = this.model;
    if (chunks === 0) return '';
    return `${plural(chunks, 'chunk')} of ${bytes(chunkSizeBytes)}, ${plural(chunksPerCell, 'chunk')} a cell`;
  }

  private paint(): void {
    this.frame = 0;
    const { model, canvas } = this;
    const context = canvas.getContext('2d');
    if (context === null || canvas.clientWidth === 0) return;
    const grid = (this.grid = layGrid(model.cells.length, canvas.clientWidth, WANTED_HEIGHT));
    const scale = devicePixelRatio;
    const height = Math.max(80, Math.ceil(grid.height));
    if (canvas.width !== Math.round(grid.width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(grid.width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${String(height)}px`;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const nowMs = performance.now();
    for (let cell = 0; cell < model.cells.length; cell++) this.paintCell(context, grid, scale, cell, nowMs);
    if (this.chosen !== undefined) this.paintChosen(context, grid, scale, this.chosen);
    this.paintOffsets(context, grid, scale);
    if (model.changed.size > 0) this.draw();
    canvas.setAttribute('aria-label', this.summary());
  }

  private paintCell(context: CanvasRenderingContext2D, grid: Grid, scale: number, cell: number, nowMs: number): void {
    const { columns, pitchX, pitchY, gutter, gap } = grid;
    const column = cell % columns;
    const row = (cell - column) / columns;
    const left = Math.round((gutter + column * pitchX) * scale);
    const top = Math.round(row * pitchY * scale);
    const right = Math.round((gutter + (column + 1) * pitchX - gap) * scale);
    const bottom = Math.round(((row + 1) * pitchY - gap) * scale);
    context.fillStyle = css(this.glowing(cell, this.colorOf(cell), nowMs));
    context.fillRect(left, top, Math.max(1, right - left), Math.max(1, bottom - top));
  }

  private colorOf(cell: number): Rgb {
    const { model, palette, lens } = this;
    if (lens !== 'state') return palette.order[model.orderOf(lens, cell)]!;
    const state = model.stateOf(cell);
    const color = palette.states[state]!;
    // Of a cell in which few chunks have the state, the rest shows through.
    return state === 0 ? color : mix(palette.states[2]!, color, 0.3 + 0.7 * (model.eighthsOf(cell) / 8));
  }

  /** What has just changed is lighter for a moment. */
  private glowing(cell: number, color: Rgb, nowMs: number): Rgb {
    const sinceMs = this.model.changed.get(cell);
    if (sinceMs === undefined) return color;
    const left = 1 - (nowMs - sinceMs) / GLOW_MS;
    if (left <= 0 || this.still.matches || this.lens !== 'state') {
      this.model.changed.delete(cell);
      return color;
    }
    return mix(color, this.palette.states[6]!, 0.75 * left);
  }

  private paintChosen(context: CanvasRenderingContext2D, grid: Grid, scale: number, cell: number): void {
    const { columns, pitchX, pitchY, gutter, gap } = grid;
    const left = (gutter + (cell % columns) * pitchX - gap) * scale;
    const top = (Math.floor(cell / columns) * pitchY - gap) * scale;
    context.strokeStyle = css(this.palette.ink);
    context.lineWidth = 2 * scale;
    context.strokeRect(left, Math.max(scale, top), (pitchX + gap) * scale, (pitchY + gap) * scale);
  }

  private paintOffsets(context: CanvasRenderingContext2D, grid: Grid, scale: number): void {
    const every = Math.max(1, 2 ** Math.ceil(Math.log2(LABEL_EVERY / grid.pitchY)));
    context.fillStyle = css(this.palette.muted);
    context.font = `${String(11 * scale)}px system-ui, sans-serif`;
    context.textAlign = 'right';
    context.textBaseline = 'top';
    for (let row = 0; row < grid.rows; row += every) {
      const text = bytes(this.model.offsetOf(row * grid.columns));
      context.fillText(row === 0 ? '0' : text, (grid.gutter - 8) * scale, row * grid.pitchY * scale);
    }
  }

  private summary(): string {
    const { image, chunks, counts } = this.model;
    const parts = CHUNK_STATES.filter((name) => counts[name] > 0).map(
      (name) => `${String(counts[name])} ${STATE_LABELS[name]}`,
    );
    return `Map of ${image}: of ${plural(chunks, 'chunk')}, ${parts.join(', ')}.`;
  }
}
