import { expect, test } from '@jest/globals';
import { runProgram } from '../../mount/cli/program.js';
import { nearestWord } from '../../mount/cli/nearest-word.js';
import { VERBS } from '../../mount/cli/verbs.js';

/** What is said about a command line, without the words that every answer has. */
async function saidAbout(line: string): Promise<string[]> {
  let err = '';
  const status = await runProgram(line === '' ? [] : line.split(' '), {
    verbs: VERBS,
    version: '1',
    streams: { stdout: { write: () => true }, stderr: { write: (text: string) => (err += text) }, stdin: {} },
    environment: {},
    uid: 0,
  });
  expect(status).toBe(2);
  return err.trimEnd().split('\n');
}

test.each([
  ['', 'Say what to do: lazydisk VERB …', ''],
  ['frobnicate', 'There is no verb frobnicate.', ''],
  ['moun r m', 'There is no verb moun; did you mean `lazydisk mount`?', ''],
  ['umount /mnt', 'There is no verb umount; did you mean `lazydisk unmount`?', ''],
  ['version', 'There is no verb version; did you mean `lazydisk --version`?', ''],
  ['snapshot /mnt vm', 'There is no verb snapshot; did you mean `lazydisk commit`?', ''],
  ['import', 'import needs <where>, <file> and <image>: lazydisk import <where> <file> <image>.', 'import '],
  ['import s3://b/p x.raw', 'import needs <image>: lazydisk import <where> <file> <image>.', 'import '],
  ['list s3://b/p a b', '"b" is one argument too many: lazydisk list <where> [image].', 'list '],
  ['mount r m --readonly', 'mount has no option --readonly; did you mean --read-only?', 'mount '],
  ['mount r m --cahce-size=5G', 'mount has no option --cahce-size; did you mean --cache-size?', 'mount '],
  ['mount r m --no-such-thing x', 'mount has no option --no-such-thing.', 'mount '],
  ['mount r m -ro', 'mount has no option -ro.', 'mount '],
  ['mount r m --fill yes', '--fill is off, idle or eager, not "yes".', 'mount '],
  ['mount r m --fill', '--fill is off, idle or eager.', 'mount '],
  ['mount r m --cache-size', '--cache-size needs a value.', 'mount '],
  ['mount --cache-size --read-only r m', '--cache-size needs a value.', 'mount '],
  ['list s3://b/p --endpoint', '--endpoint needs a value.', 'list '],
  ['list s3://b/p --addressing', '--addressing is path or virtual.', 'list '],
  ['profile foo /mnt vm', '<action> is show, record or drop, not "foo".', 'profile '],
  ['status /mnt vm --watch', 'status takes --watch or <image>, not both.', 'status '],
  ['clone - - a/b', null, 'clone '],
])('`lazydisk %s` is told by the word that is wrong', async (line, said, verb) => {
  const [first, ...others] = await saidAbout(line);
  if (said !== null) expect(first).toBe(`lazydisk: ${said}`);
  expect(others).toEqual([`See \`lazydisk ${verb}--help\`.`]);
});

test('a word is near when at most a third of its letters are wrong, or when it is the beginning of one alone', () => {
  const words = ['import', 'export', 'unlock', 'undelete', 'gc'];
  expect(nearestWord('imprt', words)).toBe('import');
  expect(nearestWord('ipmort', words)).toBe('import');
  expect(nearestWord('undel', words)).toBe('undelete');
  expect(nearestWord('unl', words)).toBe('unlock');
  expect(nearestWord('gx', words)).toBe('gc');
  expect(nearestWord('un', words)).toBeUndefined();
  expect(nearestWord('inspect', words)).toBeUndefined();
});
