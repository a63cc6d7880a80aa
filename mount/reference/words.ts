/** What may stand at a place of the command line, as far as a shell can complete it. */
import type { Option, Positional } from '../cli/verb-facts.js';

/** `word`: anything, which no shell can guess. */
export type Words =
  | { readonly kind: 'choices'; readonly choices: readonly string[] }
  | { readonly kind: 'folder' | 'file' | 'mountpoint' | 'image' | 'word' };

const BY_NAME: Readonly<Record<string, Words>> = {
  mountpoint: { kind: 'mountpoint' },
  where: { kind: 'mountpoint' },
  image: { kind: 'image' },
  file: { kind: 'file' },
  source: { kind: 'file' },
};

export function wordsOfPositional(verb: string, { name, choices }: Positional): Words {
  if (choices.length > 0) return { kind: 'choices', choices };
  // It is not mounted yet.
  if (verb === 'mount' && name === 'mountpoint') return { kind: 'folder' };
  return BY_NAME[name] ?? { kind: 'word' };
}

/** An option whose meaning begins with "file" or "folder" takes a path. */
export function wordsOfOption({ meaning, choices }: Option): Words {
  if (choices.length > 0) return { kind: 'choices', choices };
  if (meaning.startsWith('folder')) return { kind: 'folder' };
  if (meaning.startsWith('file')) return { kind: 'file' };
  return { kind: 'word' };
}
