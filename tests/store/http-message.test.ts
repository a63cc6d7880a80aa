import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ChunkedBody } from '../../lib/store/chunked-body.js';
import { bodyFraming, HttpError, keepsConnection, parseHead, requestHead } from '../../lib/store/http-message.js';

describe('the head of an answer', () => {
  it('is a status and headers by lower-case name, those of one name joined', () => {
    expect(
      parseHead('HTTP/1.1 206 Partial Content\r\nContent-Length:  5 \r\nX-A: 1\r\nx-a: 2\r\nEmpty:'),
    ).toMatchObject({
      status: 206,
      minorVersion: 1,
      headers: { 'content-length': '5', 'x-a': '1, 2', empty: '' },
    });
    expect(parseHead('HTTP/1.0 200').headers).toEqual({});
  });

  it.each([
    'HTTP/2 200',
    'HTTP/1.1 99 x',
    'HTTP/1.1 2000 x',
    '\x15\x03\x01\x00\x02',
    '',
    'HTTP/1.1 200 OK\r\nno colon',
    'HTTP/1.1 200 OK\r\n folded: line',
    'HTTP/1.1 200 OK\r\nA: 1\r\n 2',
    'HTTP/1.1 200 OK\r\nContent-Length : 5',
    'HTTP/1.1 200 OK\r\n: 5',
  ])('%j is none', (text) => {
    expect(() => parseHead(text)).toThrow(HttpError);
  });

  it('has no name that an object has by itself', () => {
    expect(parseHead('HTTP/1.1 200 OK\r\n__proto__: x').headers.constructor).toBeUndefined();
  });

  it.each([
    ['Content-Length: 7', { kind: 'measured', sizeBytes: 7 }],
    ['Transfer-Encoding: Chunked', { kind: 'chunked' }],
    ['X: y', { kind: 'until-close' }],
  ])('with %s says how its body ends', (header, framing) => {
    expect(bodyFraming(parseHead(`HTTP/1.1 200 OK\r\n${header}`))).toEqual(framing);
  });

  it.each([
    'Content-Length: -1',
    'Content-Length: 0x10',
    'Content-Length: 5, 5',
    'Content-Length: 5\r\nContent-Length: 6',
    'Content-Length: 9999999999999999',
    'Content-Length: 5\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
  ])('with %j leaves open how its body ends, and is refused', (header) => {
    expect(() => bodyFraming(parseHead(`HTTP/1.1 200 OK\r\n${header}`))).toThrow(HttpError);
  });

  it('ends the connection when it says so, or is of version 1.0', () => {
    const keeps = (text: string): boolean => keepsConnection(parseHead(text));
    expect(keeps('HTTP/1.1 200 OK')).toBe(true);
    expect(keeps('HTTP/1.1 200 OK\r\nConnection: Keep-Alive')).toBe(true);
    expect(keeps('HTTP/1.1 200 OK\r\nConnection: x, Close')).toBe(false);
    expect(keeps('HTTP/1.0 200 OK\r\nConnection: keep-alive')).toBe(false);
  });
});

describe('the head of a request', () => {
  it('is its line, its headers and an empty line', () => {
    expect(requestHead('GET', '/a%20b', { host: 'h:1', range: 'bytes=0-1' })).toBe(
      'GET /a%20b HTTP/1.1\r\nhost: h:1\r\nrange: bytes=0-1\r\n\r\n',
    );
  });

  it('can not be broken by what it holds', () => {
    for (const bad of ['a\r\nb', 'a\nb', 'a\0', 'ü']) {
      expect(() => requestHead('GET', `/${bad}`, {})).toThrow(TypeError);
      expect(() => requestHead('GET', '/', { token: bad })).toThrow(TypeError);
      expect(() => requestHead('GET', '/', { [bad]: 'x' })).toThrow(TypeError);
    }
  });
});

describe('a chunked body', () => {
  /** Feeds the text cut at these places; what came out, and how many bytes belonged to the body. */
  function decode(text: string, cuts: readonly number[]): { data: string; usedBytes: number; hasEnded: boolean } {
    const bytes = Buffer.from(text, 'latin1');
    const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
    const body = new ChunkedBody();
    let data = '';
    let usedBytes = 0;
    let from = 0;
    for (const to of [...places, bytes.length]) {
      usedBytes += body.feed(bytes.subarray(from, to), (part) => (data += part.toString('latin1')));
      from = to;
    }
    return { data, usedBytes, hasEnded: body.hasEnded };
  }

  it('is what its chunks hold, wherever a connection cuts it', () => {
    const chunk = fc.string({
      minLength: 1,
      maxLength: 40,
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    });
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 6 }), fc.array(fc.nat(400), { maxLength: 12 }), (chunks, cuts) => {
        const parts = chunks.map(
          (part, n) => `${part.length.toString(16)}${n % 2 === 0 ? '' : ';ext=1'}\r\n${part}\r\n`,
        );
        const text = `${parts.join('')}0\r\nTrailer: x\r\n\r\n`;
        expect(decode(text, cuts)).toEqual({ data: chunks.join(''), usedBytes: text.length, hasEnded: true });
        const more = decode(
          `${text}HTTP/1.1`,
          cuts.map((cut) => cut % text.length),
        );
        expect(more).toEqual({ data: chunks.join(''), usedBytes: text.length, hasEnded: true });
      }),
    );
  });

  it('that breaks off has not ended', () => {
    const text = '3\r\nabc\r\n0\r\n\r\n';
    for (let length = 0; length < text.length; length++) expect(decode(text.slice(0, length), []).hasEnded).toBe(false);
  });

  it.each([
    ['a size that is none', 'x\r\n'],
    ['a negative size', '-1\r\n'],
    ['a size beyond all bounds', 'fffffffffffff\r\n'],
    ['more than its size', '1\r\nab\r\n'],
    ['a line without end', 'a;'.padEnd(5000, 'x')],
    ['trailers without end', `0\r\n${'a: b\r\n'.repeat(100)}`],
  ])('with %s is refused', (_, text) => {
    expect(() => decode(text, [])).toThrow(HttpError);
  });
});
