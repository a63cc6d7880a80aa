/**
 * Paths to nodes: libfuse 2 names what a request is about by its path, our file system by its number. Each part is looked
 * up anew, so that a path always means what it means now.
 */
import { FsError } from '../errno.js';
import { ROOT_NODE, type Attributes, type Caller, type FileSystem } from '../file-system.js';

/** A folder and a name in it. */
export interface Place {
  readonly parent: number;
  readonly name: string;
}

/** What a path names now. ENOENT, and whatever a lookup rejects with. */
export async function attributesAt(fileSystem: FileSystem, path: string, caller: Caller): Promise<Attributes> {
  const names = namesOf(path);
  const last = names.pop();
  if (last === undefined) return fileSystem.getAttributes(ROOT_NODE, caller);
  return fileSystem.lookup(await folderAt(fileSystem, names, caller), last, caller);
}

/** The folder that a path lies in, and its last name. EINVAL for the root, which lies in none. */
export async function placeOf(fileSystem: FileSystem, path: string, caller: Caller): Promise<Place> {
  const names = namesOf(path);
  const name = names.pop();
  if (name === undefined) throw new FsError('EINVAL', 'The root of the mount lies in no folder of it.');
  return { parent: await folderAt(fileSystem, names, caller), name };
}

async function folderAt(fileSystem: FileSystem, names: readonly string[], caller: Caller): Promise<number> {
  let node = ROOT_NODE;
  for (const name of names) ({ node } = await fileSystem.lookup(node, name, caller));
  return node;
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}
