import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isTagName } from '../../lib/format/keys.js';
import { formatControlCommand, parseControlLine, type ControlCommand } from '../../mount/tree/control/grammar.js';
import { decodeLine, LineBuffer, MAX_LINE_BYTES } from '../../mount/tree/control/line-buffer.js';
import { LazydiskError } from '../../lib/util/errors.js';

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,8}$/);
const number = fc.option(fc.integer({ min: 1, max: 99_999_999 }), { nil: undefined });
/** Which snapshot, by its number or by a tag. */
const snapshot = fc.oneof(
  fc.record({ number }),
  fc.record({ number: fc.constant(undefined), tag: name.filter(isTagName) }),
);
const label = fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => text.replace(/\p{Cc}/gu, '').trim());

/** A commit without options. */
const plain = { as: undefined, async: false };

function command(image: fc.Arbitrary<string | undefined>): fc.Arbitrary<ControlCommand> {
  return fc.oneof(
    fc.record({
      verb: fc.constant('commit' as const),
      image,
      label,
      as: fc.option(name, { nil: undefined }),
      async: fc.boolean(),
    }),
    fc
      .tuple(
        fc.record({
          verb: fc.constant('clone' as const),
          image,
          newName: name,
          commit: fc.boolean(),
          local: fc.boolean(),
          sizeBytes: fc.option(fc.nat(), { nil: undefined }),
        }),
        snapshot,
      )
      .map(([clone, which]) => ({ ...clone, ...which })),
    fc
      .tuple(fc.record({ verb: fc.constantFrom('revert' as const, 'hydrate' as const), image }), snapshot)
      .map(([one, which]) => ({ ...one, ...which })),
    fc.record({ verb: fc.constant('unlock' as const), image }),
    fc.record({
      verb: fc.constant('profile' as const),
      image,
      action: fc.constantFrom('show' as const, 'record' as const, 'drop' as const),
    }),
    fc.constant<ControlCommand>({ verb: 'help' }),
  );
}

// S35: the lines of control files.
describe('the grammar of control files', () => {
  test('a command that is written as a line reads back as itself, in both scopes', () => {
    fc.assert(
      fc.property(command(name), (one) => expect(parseControlLine('mount', formatControlCommand(one))).toEqual(one)),
    );
    fc.assert(
      fc.property(command(fc.constant(undefined)), (one) =>
        expect(parseControlLine('image', formatControlCommand(one))).toEqual(one),
      ),
    );
  });

  test('any text is a command, nothing, or a USAGE error of one sentence', () => {
    const anyLine = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc
        .array(
          fc.constantFrom(
            'commit',
            'clone',
            'revert',
            'unlock',
            'help',
            'vm',
            '@3',
            '@x',
            ':stable',
            ':',
            '--commit',
            '--as',
            '--async',
            '--local',
            '--',
            '\t',
          ),
        )
        .map((w) => w.join(' ')),
    );
    fc.assert(
      fc.property(fc.constantFrom('mount' as const, 'image' as const), anyLine, (scope, line) => {
        try {
          const parsed = parseControlLine(scope, line);
          if (parsed !== undefined) expect(parseControlLine(scope, formatControlCommand(parsed))).toEqual(parsed);
        } catch (error) {
          expect(error).toBeInstanceOf(LazydiskError);
          expect((error as LazydiskError).code).toBe('USAGE');
          expect((error as LazydiskError).message).toMatch(/^Expected .*\.$/s);
        }
      }),
    );
  });

  test.each([
    ['clone new @3', { verb: 'clone', image: undefined, newName: 'new', number: 3, commit: false, local: false }],
    [
      '  clone\tnew  --commit ',
      { verb: 'clone', image: undefined, newName: 'new', number: undefined, commit: true, local: false },
    ],
    ['commit before the upgrade', { verb: 'commit', image: undefined, label: 'before the upgrade', ...plain }],
    ['commit', { verb: 'commit', image: undefined, label: '', ...plain }],
    [
      'commit --async --as new two words',
      { verb: 'commit', image: undefined, label: 'two words', as: 'new', async: true },
    ],
    ['commit -- --as it was', { verb: 'commit', image: undefined, label: '--as it was', ...plain }],
    ['revert', { verb: 'revert', image: undefined, number: undefined }],
    ['help', { verb: 'help' }],
  ])('%j in the file of an image', (line, expected) => expect(parseControlLine('image', line)).toEqual(expected));

  test.each([
    ['clone src new @3', { verb: 'clone', image: 'src', newName: 'new', number: 3, commit: false, local: false }],
    ['commit vm two words', { verb: 'commit', image: 'vm', label: 'two words', ...plain }],
    [
      'clone src new --local',
      { verb: 'clone', image: 'src', newName: 'new', number: undefined, commit: false, local: true },
    ],
    ['hydrate vm @2', { verb: 'hydrate', image: 'vm', number: 2 }],
    ['revert vm :stable', { verb: 'revert', image: 'vm', number: undefined, tag: 'stable' }],
    ['profile vm record', { verb: 'profile', image: 'vm', action: 'record' }],
    ['unlock vm', { verb: 'unlock', image: 'vm' }],
  ])('%j in the file of the mount', (line, expected) => expect(parseControlLine('mount', line)).toEqual(expected));

  test.each(['', '   ', '\t'])('%j is nothing', (line) => expect(parseControlLine('image', line)).toBeUndefined());

  test.each([
    ['image', 'Commit'],
    ['image', 'clone'],
    ['image', 'commit --as'],
    ['image', 'commit --now'],
    ['mount', 'commit --async'],
    ['image', 'clone a b'],
    ['image', 'clone a @1 @2'],
    ['image', 'clone a @1 :stable'],
    ['image', 'revert :latest'],
    ['image', 'revert :3'],
    ['image', 'clone a @0'],
    ['image', 'clone a @01'],
    ['image', 'clone a @123456789'],
    ['image', 'revert 3'],
    ['image', 'revert @-1'],
    ['image', 'unlock now'],
    ['image', 'hydrate 3'],
    ['image', 'hydrate @3 @4'],
    ['image', 'profile'],
    ['image', 'profile replay'],
    ['image', 'profile show now'],
    ['mount', 'profile show'],
    ['image', 'help me'],
    ['image', 'commit \u0007'],
    ['image', 'commit a\u0000b'],
    ['mount', 'commit'],
    ['mount', 'unlock'],
    ['mount', 'clone src'],
    ['mount', 'destroy vm'],
  ] as const)('in the file of the %s, %j is refused', (scope, line) =>
    expect(() => parseControlLine(scope, line)).toThrow(expect.objectContaining({ code: 'USAGE' })),
  );
});

// S36: a line may be written in pieces.
describe('the line buffer', () => {
  test('however a text is cut into writes, its lines come out whole and in order', () => {
    const lines = fc.array(fc.string({ unit: 'grapheme', maxLength: 30 }).map((text) => text.replaceAll('\n', '')));
    fc.assert(
      fc.property(
        lines,
        fc.string({ unit: 'grapheme', maxLength: 5 }),
        fc.infiniteStream(fc.nat(6)),
        (texts, rest, cuts) => {
          const tail = rest.replaceAll('\n', '');
          const all = Buffer.from(texts.map((text) => `${text}\n`).join('') + tail);
          const buffer = new LineBuffer();
          const found: string[] = [];
          for (let at = 0; at < all.length;) {
            const length = cuts.next().value;
            found.push(...buffer.add(all.subarray(at, at + length)).map(decodeLine));
            at += length;
          }
          expect(found).toEqual(texts);
          expect(buffer.takeRest()?.toString() ?? '').toBe(tail);
          expect(buffer.takeRest()).toBeUndefined();
        },
      ),
    );
  });

  test('a line of the longest length passes, one byte more is refused and forgotten', () => {
    const buffer = new LineBuffer();
    expect(buffer.add(Buffer.from(`${'x'.repeat(MAX_LINE_BYTES)}\n`))).toHaveLength(1);
    expect(() => buffer.add(Buffer.from('x'.repeat(MAX_LINE_BYTES + 1)))).toThrow(/at most 4096 bytes/);
    expect(buffer.takeRest()).toBeUndefined();
  });

  test('bytes that are not UTF-8 are refused', () => {
    expect(() => decodeLine(Buffer.from([0x63, 0xff]))).toThrow(/UTF-8/);
    expect(() => decodeLine(Buffer.from([0xc3]))).toThrow(/UTF-8/);
  });
});
