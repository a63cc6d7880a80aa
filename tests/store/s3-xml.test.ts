import { describe, expect, it } from '@jest/globals';
import { elements, textOf } from '../../lib/store/s3-xml.js';

describe('the XML of S3', () => {
  it('gives the text of an element, with what was escaped', () => {
    expect(textOf('<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', 'Code')).toBe('NoSuchKey');
    expect(textOf('<M>a &lt;b&gt; &amp;amp; &quot;c&quot; &apos;d&apos; &#228;&#xE4; &unknown;</M>', 'M')).toBe(
      'a <b> &amp; "c" \'d\' ää &unknown;',
    );
    expect(textOf('<M></M>', 'M')).toBe('');
  });

  it('gives nothing for an element that is not there, not closed, or not text', () => {
    for (const xml of ['', 'no XML', '<Other>x</Other>', '<M>x', '<M>x</N>', '</M><M>', '<M><N>x</N></M>']) {
      expect(textOf(xml, 'M')).toBeUndefined();
    }
  });

  it('gives all elements of a name, in order', () => {
    const xml = '<List><C><K>1</K></C><D>x</D><C><K>2</K></C><C>never closed';
    expect([...elements(xml, 'C')].map((inner) => textOf(inner, 'K'))).toEqual(['1', '2']);
  });
});
