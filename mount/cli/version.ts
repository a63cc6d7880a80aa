/** The version of the program: that of its package. */
import { readFileSync } from 'node:fs';

export function programVersion(): string {
  // From the bundles in dist/mount/cli.
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
