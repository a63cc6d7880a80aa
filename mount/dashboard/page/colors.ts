/** Colours of the style sheet for what is drawn on a canvas, as they are in the theme of now. */
import { CHUNK_STATES } from '../../../lib/image/picture-cells.js';

export type Rgb = readonly [red: number, green: number, blue: number];

export interface Palette {
  readonly card: Rgb;
  readonly ink: Rgb;
  readonly muted: Rgb;
  readonly states: readonly Rgb[];
  /** For orders 0 (never) to 255. */
  readonly order: readonly Rgb[];
}

const RAMP = ['first', 'early', 'late', 'last'] as const;

export function readPalette(): Palette {
  const read = reader();
  const ramp = RAMP.map(read);
  const order = Array.from({ length: 256 }, (_, rank) => (rank === 0 ? read('zero') : along(ramp, (rank - 1) / 254)));
  return { card: read('card'), ink: read('ink'), muted: read('muted'), states: CHUNK_STATES.map(read), order };
}

/** `share` of the way from one colour to another. */
export function mix(from: Rgb, to: Rgb, share: number): Rgb {
  const at = (index: 0 | 1 | 2): number => Math.round(from[index] + (to[index] - from[index]) * share);
  return [at(0), at(1), at(2)];
}

export function css([red, green, blue]: Rgb): string {
  return `rgb(${String(red)} ${String(green)} ${String(blue)})`;
}

/** A browser resolves a name of the style sheet only where it is used. */
function reader(): (name: string) => Rgb {
  const probe = document.createElement('span');
  document.body.append(probe);
  const style = getComputedStyle(probe);
  queueMicrotask(() => probe.remove());
  return (name) => {
    probe.style.color = `var(--${name})`;
    const [red = 0, green = 0, blue = 0] = (style.color.match(/[\d.]+/g) ?? []).map(Number);
    return [red, green, blue];
  };
}

function along(ramp: readonly Rgb[], share: number): Rgb {
  const at = share * (ramp.length - 1);
  const from = Math.min(Math.floor(at), ramp.length - 2);
  return mix(ramp[from]!, ramp[from + 1]!, at - from);
}
