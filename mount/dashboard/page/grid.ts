/** Where the cells of a map are: in rows of a power of two, so that the offsets of rows are round numbers. Pure. */

export interface Grid {
  readonly columns: number;
  readonly rows: number;
  /** Of a cell and the gap behind it, pixels of the page. */
  readonly pitchX: number;
  readonly pitchY: number;
  readonly gap: number;
  /** Room at the left for the offsets of rows. */
  readonly gutter: number;
  readonly width: number;
  readonly height: number;
}

const GUTTER = 62;
const LEAST_PITCH = 4;
/** Narrower cells are not made to have longer rows. */
const NARROW_PITCH = 5.5;
const MOST_PITCH = 18;

/** For `cells` in a frame so wide; as high as wanted or higher, where cells would be too low else. */
export function layGrid(cells: number, width: number, wantedHeight: number): Grid {
  const room = Math.max(16 * LEAST_PITCH, width - GUTTER);
  let columns = 16;
  while (room / (2 * columns) >= NARROW_PITCH) columns *= 2;
  const pitchX = Math.min(room / columns, 2 * MOST_PITCH);
  const rows = Math.ceil(cells / columns);
  const pitchY = Math.min(Math.max(wantedHeight / Math.max(1, rows), LEAST_PITCH), pitchX, MOST_PITCH);
  const gap = Math.min(pitchX, pitchY) >= 5.5 ? 1 : 0.5;
  return { columns, rows, pitchX, pitchY, gap, gutter: GUTTER, width: GUTTER + room, height: rows * pitchY };
}

/** The cell at a point; undefined: there is none. */
export function cellAt(grid: Grid, cells: number, x: number, y: number): number | undefined {
  const { columns, pitchX, pitchY, gutter } = grid;
  const column = Math.floor((x - gutter) / pitchX);
  const cell = Math.floor(y / pitchY) * columns + column;
  return column >= 0 && column < columns && y >= 0 && cell < cells ? cell : undefined;
}

/** Where an arrow key leads from a cell; undefined: it is no such key. */
export function cellAfterKey(key: string, cell: number, cells: number, columns: number): number | undefined {
  const steps: Readonly<Record<string, number>> = {
    ArrowLeft: cell - 1,
    ArrowRight: cell + 1,
    ArrowUp: cell - columns,
    ArrowDown: cell + columns,
    Home: 0,
    End: cells - 1,
  };
  const next = Object.hasOwn(steps, key) ? steps[key] : undefined;
  return next === undefined ? undefined : next < 0 || next >= cells ? cell : next;
}
