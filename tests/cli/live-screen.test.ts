import { expect, test } from '@jest/globals';
import { showLive } from '../../mount/cli/live-screen.js';

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';

function terminal() {
  const written: string[] = [];
  return { written, columns: 40, rows: 5, write: (text: string) => void written.push(text) };
}

test('each picture is one write over the one before; the last one stays when it ends', async () => {
  const screen = terminal();
  const end = new AbortController();
  let pictures = 0;
  await showLive({
    terminal: screen,
    intervalMs: 0,
    signal: end.signal,
    draw: (room) => {
      expect(room).toEqual({ columns: 40, rows: 5 });
      if (++pictures === 2) end.abort();
      return Promise.resolve([`picture ${String(pictures)}`, 'line']);
    },
  });
  const picture = (count: number): string => `\u001b[Hpicture ${String(count)}\u001b[K\r\nline\u001b[K\u001b[J`;
  expect(screen.written).toEqual([ENTER, picture(1), picture(2), LEAVE, 'picture 2\nline\n']);
});

test('a picture that can not be had ends it with its error, and the terminal is as it was', async () => {
  const screen = terminal();
  const gone = new Error('gone');
  const { signal } = new AbortController();
  const shown = showLive({ terminal: screen, intervalMs: 0, signal, draw: () => Promise.reject(gone) });
  await expect(shown).rejects.toBe(gone);
  expect(screen.written).toEqual([ENTER, LEAVE]);
});
