/** The place in a document where a report goes: between two markers, so that what people wrote around it stays. Pure. */
const BEGIN = '<!-- bench: begin (written by make bench-docs) -->';
const END = '<!-- bench: end -->';

/** The document with the report in its place. Throws when the markers are not there. */
export function withReport(document: string, report: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`the document has no place for the report: ${BEGIN} … ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${report.trim()}\n\n${document.slice(end)}`;
}
