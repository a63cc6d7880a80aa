/**
 * Transcripts in documents: blocks marked `console`, in which `$ ` begins a command and what follows is all that it prints.
 * `…` stands for any text, and on a line of its own for any number of lines.
 */

export interface Step {
  readonly command: string;
  /** What it must print, both outputs together. */
  readonly expected: string;
  /** The heading that it stands under. */
  readonly section: string;
}

export function stepsOf(markdown: string): Step[] {
  const steps: Step[] = [];
  let section = '';
  let isTranscript = false;
  for (const line of markdown.split('\n')) {
    if (line.startsWith('```')) isTranscript = line === '```console';
    else if (!isTranscript && line.startsWith('## ')) section = line.slice(3);
    else if (isTranscript && line.startsWith('$ ')) steps.push({ command: line.slice(2), expected: '', section });
    else if (isTranscript) {
      const last = steps.pop();
      if (last === undefined) throw new Error(`What prints ${JSON.stringify(line)}?`);
      steps.push({ ...last, expected: `${last.expected}${line}\n` });
    }
  }
  return steps;
}

/** What a step may print. */
export function patternOf(expected: string): RegExp {
  const literal = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const lines = expected.split('\n').slice(0, -1);
  const parts = lines.map((line) => (line === '…' ? '(?:.*\\n)*' : `${line.split('…').map(literal).join('.*')}\\n`));
  return new RegExp(`^${parts.join('')}$`);
}
