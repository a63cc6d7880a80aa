/** The image that is chosen, in words: its name, what stands below it, and what runs. */
import type { ImageGlance } from '../../../lib/image/views.js';
import { element, make, setText } from './dom.js';
import { bytes, plural } from './format.js';

export function showImageHead(image: string, glance: ImageGlance | undefined): void {
  setText(element('image-name'), image);
  element('image-facts').replaceChildren(...(glance === undefined ? [] : facts(glance)));
  showProgress(glance);
}

function facts(glance: ImageGlance): (Node | string)[] {
  const { sizeBytes, baseNumber, localCloneOf, openCount, dirtyBytes, touchedChunks, chunkSizeBytes } = glance;
  const origin =
    localCloneOf === null ? '' : ` of ${localCloneOf.image}@${String(localCloneOf.number)}, on this host only`;
  const base =
    baseNumber === null
      ? origin === ''
        ? 'never committed'
        : `a clone${origin}`
      : `on snapshot ${String(baseNumber)}`;
  const parts: (Node | string)[] = [make('b', {}, bytes(sizeBytes)), ` \u00b7 ${base}`];
  parts.push(
    openCount === 0 ? ' \u00b7 closed' : ` \u00b7 open ${openCount === 1 ? 'once' : plural(openCount, 'time')}`,
  );
  if (touchedChunks > 0) parts.push(` \u00b7 ${bytes(touchedChunks * chunkSizeBytes)} of it read`);
  if (dirtyBytes > 0) parts.push(' \u00b7 ', make('b', {}, `${bytes(dirtyBytes)} not committed`));
  if (glance.failure !== null) parts.push(' \u00b7 ', make('b', { class: 'problem' }, glance.failure));
  return parts;
}

function showProgress(glance: ImageGlance | undefined): void {
  const bar = element<HTMLProgressElement>('progress-bar');
  const work = glance && workOf(glance);
  element('progress').hidden = work === undefined;
  if (work === undefined) return;
  setText(element('progress-text'), work.text);
  if (work.share === undefined) bar.removeAttribute('value');
  else bar.value = work.share;
}

function workOf({ committing, upload, hydrating }: ImageGlance): { text: string; share?: number } | undefined {
  if (upload !== null) {
    const { doneChunks, totalChunks } = upload;
    const text = `Commit: ${plural(doneChunks, 'chunk')} of ${String(totalChunks)} uploaded or known to the store`;
    return { text, share: totalChunks === 0 ? 1 : doneChunks / totalChunks };
  }
  if (committing) return { text: 'Commit: talking to the store' };
  if (hydrating === null) return undefined;
  const { arrivedBytes, totalBytes } = hydrating;
  const text = `Hydrating: ${bytes(arrivedBytes)} of ${bytes(totalBytes)} have come`;
  return { text, share: totalBytes === 0 ? 1 : Math.min(1, arrivedBytes / totalBytes) };
}
