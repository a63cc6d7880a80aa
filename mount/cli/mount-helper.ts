/**
 * What mount(8) asks of a helper: `/sbin/mount.lazydisk SPEC DIR [-sfnv] [-o OPTIONS]`, as words of `lazydisk mount`.
 *
 *   -s  options that are not known are passed over    -f  everything but the mount itself
 *   -n  no entry in /etc/mtab: there never is one      -v  say what is done
 *   -t  the type, which is ours                        -N  another mount namespace: refused
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import { wordsOfTwins } from './mount-twins.js';

/** mount(8) and systemd know it as "the mount failed". */
export const MOUNT_FAILURE = 32;

export interface HelperRequest {
  /** Of `lazydisk`, the verb included. */
  readonly words: readonly string[];
  readonly fake: boolean;
  readonly verbose: boolean;
}

const USAGE = 'mount.lazydisk SPEC DIR [-sfnv] [-o OPTIONS]';

/** USAGE, UNSUPPORTED (a namespace). */
export function helperRequest(given: readonly string[]): HelperRequest {
  const { values, positionals } = parse(given);
  const [spec, directory, ...more] = positionals;
  if (spec === undefined || directory === undefined || more.length > 0) {
    throw new LazydiskError(
      'USAGE',
      `Expected a repository and a folder, got ${String(positionals.length)} words: ${USAGE}.`,
    );
  }
  if (values.namespace !== undefined) {
    throw new LazydiskError('UNSUPPORTED', 'Another mount namespace (-N) can’t be mounted in: use nsenter(1).');
  }
  const options = wordsOfTwins((values.options ?? []).join(','), { sloppy: values.sloppy === true });
  return {
    // A folder may begin with a dash.
    words: ['mount', spec, resolve(directory), ...options],
    fake: values.fake === true,
    verbose: values.verbose === true,
  };
}

function parse(given: readonly string[]) {
  try {
    return parseArgs({
      args: [...given],
      allowPositionals: true,
      options: {
        sloppy: { type: 'boolean', short: 's' },
        fake: { type: 'boolean', short: 'f' },
        'no-mtab': { type: 'boolean', short: 'n' },
        verbose: { type: 'boolean', short: 'v' },
        options: { type: 'string', short: 'o', multiple: true },
        type: { type: 'string', short: 't' },
        namespace: { type: 'string', short: 'N' },
      },
    });
  } catch (error) {
    throw new LazydiskError('USAGE', `${messageOf(error)}: ${USAGE}.`, { cause: error });
  }
}
