/** What commands do and what they came to, the newest first. */
import type { CloneOutcome, CommitOutcome, HydrateOutcome } from '../../../lib/image/api.js';
import type { ActivityMessage } from '../protocol.js';
import { element, make } from './dom.js';
import { bytes, milliseconds, since } from './format.js';

type Outcome = ActivityMessage['outcomes'][number];

const MARKS = { ok: '\u2713', failed: '\u2715', running: '\u2026' } as const;

export function showActivity({ running, outcomes }: ActivityMessage): void {
  const rows = [
    ...running.map(({ command, startedAt }) => row('running', command, 'running', startedAt)).reverse(),
    ...outcomes
      .map((outcome) => row(outcome.ok ? 'ok' : 'failed', outcome.command, detailOf(outcome), outcome.finishedAt))
      .reverse(),
  ];
  const none = make(
    'li',
    { class: 'none' },
    'No command yet: what the buttons, the control files and the command line do is told here.',
  );
  element('activity').replaceChildren(...(rows.length === 0 ? [none] : rows));
}

/** Times that are told as "so long ago" go on. */
export function refreshTimes(): void {
  for (const time of document.querySelectorAll<HTMLTimeElement>('#activity time')) {
    time.textContent = since(Date.now() - Date.parse(time.dateTime));
  }
}

function row(end: keyof typeof MARKS, command: string, detail: string, at: string): HTMLElement {
  const time = make('time', { datetime: at, title: new Date(at).toLocaleString() }, since(Date.now() - Date.parse(at)));
  const what = make('div', {}, make('code', {}, command), make('div', { class: 'detail' }, detail));
  return make('li', { 'data-end': end }, make('span', { class: 'mark', 'aria-label': end }, MARKS[end]), what, time);
}

function detailOf(outcome: Outcome): string {
  if (!outcome.ok) return outcome.error?.message ?? 'failed without saying why';
  const verb = outcome.command.split(' ')[0];
  if (verb === 'commit') return committed(outcome.result as CommitOutcome);
  if (verb === 'clone') return cloned(outcome.result as CloneOutcome);
  if (verb === 'hydrate') return hydrated(outcome.result as HydrateOutcome);
  return 'done';
}

function committed({ image, number, changed, uploadedBytes, dirtyBytes, pauseMs, durationMs }: CommitOutcome): string {
  if (!changed) return `nothing had changed since ${image}@${String(number)}`;
  const what = `${image}@${String(number)}: ${bytes(dirtyBytes)} changed, ${bytes(uploadedBytes)} uploaded`;
  return `${what} in ${milliseconds(durationMs)}; writers waited ${milliseconds(pauseMs)}`;
}

function cloned({ image, number, source }: CloneOutcome): string {
  const made = number === null ? `${image}, on this host only` : `${image}@${String(number)}`;
  return `${made}, from ${source.image}@${String(source.number)}`;
}

function hydrated({ image, fetchedBytes, localBytes, durationMs }: HydrateOutcome): string {
  return `all ${bytes(localBytes)} of ${image} are here; ${bytes(fetchedBytes)} came in ${milliseconds(durationMs)}`;
}
