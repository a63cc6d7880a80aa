import { expect, test } from '@jest/globals';
import { Output } from '../../mount/cli/output.js';
import { ProgressLine } from '../../mount/cli/progress.js';

const MIB = 1024 * 1024;

function outputOn({ terminal, json }: { terminal: boolean; json: boolean }) {
  const said = { out: '', err: '' };
  const output = new Output(
    {
      stdout: { write: (text: string) => (said.out += text) },
      stderr: { write: (text: string) => (said.err += text), isTTY: terminal },
      stdin: {},
    },
    json,
  );
  return { output, said };
}

test('progress is one line of stderr on a terminal, and it is gone when the outcome comes', () => {
  const { output, said } = outputOn({ terminal: true, json: false });
  const progress = new ProgressLine(output, 'importing vm');
  progress.update({ doneBytes: 3 * MIB, totalBytes: 12 * MIB, extra: '1 MiB uploaded' });
  expect(said.err).toMatch(/importing vm: 3 MiB of 12 MiB \(25 %\), 1 MiB uploaded, 0\.\d s$/);
  expect(said.err).not.toContain('\n');
  progress.end();
  expect(said.err.endsWith('\r\u001b[2K')).toBe(true);
  expect(said.out).toBe('');
});

test.each([
  { terminal: false, json: false },
  { terminal: true, json: true },
])('there is no progress with %j', (where) => {
  const { output, said } = outputOn(where);
  const progress = new ProgressLine(output, 'importing vm');
  progress.update({ doneBytes: 1 });
  progress.end();
  expect(said).toEqual({ out: '', err: '' });
});
