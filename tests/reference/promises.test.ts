/** The promises of docs/SEMANTICS.md: each has a number of its own, a place where it is looked for, and a test that quotes it. */
import { expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const sections = readFileSync('docs/SEMANTICS.md', 'utf8')
  .split(/^(?=## )/m)
  .map((section) => [...section.matchAll(/^\*\*S(\d+)\./gm)].map(([, number]) => Number(number)));
const numbers = sections.flat();

test('no two promises have one number, and numbers grow within a section', () => {
  expect(numbers.length).toBeGreaterThan(60);
  expect(new Set(numbers).size).toBe(numbers.length);
  for (const section of sections) expect(section).toEqual(section.toSorted((a, b) => a - b));
});

test('every promise is quoted by a test', () => {
  const texts = readdirSync('tests', { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(test|suite)\.ts$/.test(name))
    .map((name) => readFileSync(join('tests', name), 'utf8'))
    .join('\n');
  const quoted = new Set(
    [...texts.matchAll(/\/\/.*|\/?\*.*|(?:test|it|describe)[^(]*\(\s*['`].*/g)]
      .flatMap(([line]) => [...line.matchAll(/\bS(\d+)\b/g)])
      .map(([, number]) => Number(number)),
  );
  expect(numbers.filter((number) => !quoted.has(number))).toEqual([]);
});
