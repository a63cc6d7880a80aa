/**
 * Users and groups by name or by number. Names are looked up by getent(1), so that those of a directory service count too;
 * numbers need nobody.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { LazydiskError } from '../../lib/util/errors.js';

/** The highest that the kernel takes; the one above it means "unchanged". */
const MOST_ID = 2 ** 32 - 2;

/** USAGE: no such user. `option` is named in the message. */
export function userId(text: string, option: string): Promise<number> {
  return idOf(text, { option, what: 'user', database: 'passwd' });
}

/** USAGE: no such group. */
export function groupId(text: string, option: string): Promise<number> {
  return idOf(text, { option, what: 'group', database: 'group' });
}

interface Kind {
  readonly option: string;
  readonly what: string;
  readonly database: 'passwd' | 'group';
}

async function idOf(text: string, { option, what, database }: Kind): Promise<number> {
  const id = /^\d+$/.test(text) ? Number(text) : await lookUp(database, text);
  if (id !== undefined && id <= MOST_ID) return id;
  throw new LazydiskError(
    'USAGE',
    `${option} takes the name or the number of a ${what} of this host, not ${JSON.stringify(text)}.`,
  );
}

async function lookUp(database: Kind['database'], name: string): Promise<number | undefined> {
  if (name === '' || name.startsWith('-')) return undefined;
  try {
    // name:password:id:…
    const { stdout } = await promisify(execFile)('getent', [database, name]);
    const id = stdout.split('\n')[0]?.split(':')[2];
    return id === undefined ? undefined : Number(id);
  } catch {
    return undefined;
  }
}
