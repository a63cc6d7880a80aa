/** Text as man(7) wants it. Everything here returns whole lines, without the last line feed. */

/** A word or sentence: nothing in it is a request or an escape, and dashes can be copied from the page. */
export function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '...')
    .replaceAll('’', "'")
    .replace(/^(?=[.'])/gm, '\\&');
}

export function heading(text: string): string {
  return `.SH ${roff(text)}`;
}

export function subheading(text: string): string {
  return `.SS ${roff(text)}`;
}

/** A paragraph that begins with a term. `term` is shown bold, `value` behind it in italics. */
export function entry(term: string, value: string, text: string): string {
  return ['.TP', `\\fB${roff(term)}\\fR${value === '' ? '' : `\\fI${roff(value)}\\fR`}`, roff(text)].join('\n');
}

export function paragraph(text: string): string {
  return `.PP\n${roff(text)}`;
}

/** Lines as they are, as for commands. */
export function literal(lines: readonly string[]): string {
  return ['.PP', '.nf', '.RS 4', ...lines.map(roff), '.RE', '.fi'].join('\n');
}
