/**
 * The little of XML that S3 speaks: documents of flat records, elements without attributes that matter, text without CDATA.
 *
 * It finds elements by name and takes nothing on trust: what is not there is undefined, and who asks decides what that means.
 * Scanning is linear in the length of the text.
 */
const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** The text of the first element of this name; undefined when there is none, or it holds elements. */
export function textOf(xml: string, name: string): string | undefined {
  const inner = elements(xml, name).next().value;
  return inner === undefined || inner.includes('<') ? undefined : unescape(inner);
}

/** What stands inside each element of this name, in order. Elements of one name do not nest in S3's documents. */
export function* elements(xml: string, name: string): Generator<string, undefined> {
  const [opening, closing] = [`<${name}>`, `</${name}>`];
  for (let at = 0; ;) {
    const start = xml.indexOf(opening, at);
    const end = start < 0 ? -1 : xml.indexOf(closing, start);
    if (end < 0) return undefined;
    yield xml.slice(start + opening.length, end);
    at = end + closing.length;
  }
}

function unescape(text: string): string {
  return text.replace(/&(?:#(\d{1,6})|#x([0-9a-fA-F]{1,5})|(\w{1,8}));/g, (whole, decimal, hex, name: string) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex as string, 16));
    return ENTITIES[name] ?? whole;
  });
}
