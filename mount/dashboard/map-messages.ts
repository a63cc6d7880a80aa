/** Pictures as they travel: the first whole, then what has changed. Pure. */
import type { ImagePicture } from '../../lib/image/picture.js';
import type { ChangeMessage, MapMessage } from './protocol.js';

/** Stretches that are so close travel as one: the names of two cost more than the cells between. */
const GAP_CELLS = 12;

export function mapMessage(image: string, picture: ImagePicture): MapMessage {
  const { sizeBytes, chunkSizeBytes, chunks, chunksPerCell, counts, cells } = picture;
  return { image, sizeBytes, chunkSizeBytes, chunks, chunksPerCell, counts, cells: base64(cells) };
}

/** undefined: nothing has changed. null: the two have not the same cells, so that the later one has to travel whole. */
export function changeMessage(before: ImagePicture, now: ImagePicture): ChangeMessage | null | undefined {
  if (
    before.chunks !== now.chunks ||
    before.chunkSizeBytes !== now.chunkSizeBytes ||
    before.sizeBytes !== now.sizeBytes
  ) {
    return null;
  }
  const stretches: [number, string][] = [];
  for (let cell = nextDifference(before, now, 0); cell < now.cells.length;) {
    const first = cell;
    let end = cell + 1;
    while ((cell = nextDifference(before, now, end)) < Math.min(end + GAP_CELLS, now.cells.length)) end = cell + 1;
    stretches.push([first, base64(now.cells.subarray(first, end))]);
  }
  const sameCounts = JSON.stringify(before.counts) === JSON.stringify(now.counts);
  return stretches.length === 0 && sameCounts ? undefined : { counts: now.counts, stretches };
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

function nextDifference(before: ImagePicture, now: ImagePicture, from: number): number {
  let cell = from;
  while (cell < now.cells.length && before.cells[cell] === now.cells[cell]) cell++;
  return cell;
}
