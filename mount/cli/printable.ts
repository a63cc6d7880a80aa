/**
 * Text as a terminal may get it. Labels, names of hosts and answers of servers were written by others; a terminal obeys what stands in
 * them. So control characters, and those that turn the direction of a line, are shown by their code instead.
 */

/** C0 but for newline, DEL and C1, and the marks, embeddings and isolates of bidirectional text. */
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Lines of text; their ends stay. */
export function printable(text: string): string {
  return text.replace(OBEYED, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** One cell of a table, or one line. */
export function printableLine(text: string): string {
  return printable(text.replaceAll('\n', '\\n'));
}
