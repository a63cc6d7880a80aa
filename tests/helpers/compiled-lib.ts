/** The library as plain JavaScript for processes that do not go through the transformation of the tests. */
import { transformFile } from '@swc/core';
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Compiles into a new folder below .cache (where packages are found); the caller removes it. Resolves to the folder. */
export async function compileLib(): Promise<string> {
  await mkdir(join(ROOT, '.cache'), { recursive: true });
  const target = await mkdtemp(join(ROOT, '.cache', 'compiled-'));
  for (const name of await readdir(join(ROOT, 'lib'), { recursive: true })) {
    if (!name.endsWith('.ts')) continue;
    const { code } = await transformFile(join(ROOT, 'lib', name), {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'es6' },
    });
    const path = join(target, 'lib', name.replace(/\.ts$/, '.js'));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, code);
  }
  return target;
}
