/**
 * WHERE, the first argument of most verbs: a repository (it has `://`) or a mountpoint.
 *
 * A mountpoint is looked up in the registry of live mounts. Verbs that only need the repository then work on that mount's
 * URL and endpoint with this process's own credentials; verbs that need a head go to the daemon by its socket.
 */
import { LazydiskError } from '../../lib/util/errors.js';
import { FILE_SYSTEM_TYPE } from '../fuse/mount-table.js';
import { mountedAt, resolveMountpoint } from '../service/mountpoint.js';
import type { Registry, RegistryEntry } from '../service/registry.js';

/** A repository as the command line names it. */
export interface RepositoryAddress {
  readonly url: string;
  readonly endpoint: string | undefined;
}

export type Where =
  | { readonly kind: 'repository'; readonly repository: RepositoryAddress }
  | { readonly kind: 'mount'; readonly mount: RegistryEntry; readonly repository: RepositoryAddress };

/** USAGE, NOT_FOUND (neither a repository nor a live mount). `endpoint` of the command line wins over the mount's. */
export async function resolveWhere(text: string, endpoint: string | undefined, registry: Registry): Promise<Where> {
  if (text.includes('://')) return { kind: 'repository', repository: { url: text, endpoint } };
  const mount = await findMount(text, registry);
  return {
    kind: 'mount',
    mount,
    repository: { url: mount.repository, endpoint: endpoint ?? mount.endpoint ?? undefined },
  };
}

/**
 * The live mount at a path, for verbs that need a head. USAGE when it is a repository: `verb` and `reason` say why it can't
 * be. NOT_FOUND when nothing of ours lives there.
 */
export async function requireMount(
  text: string,
  registry: Registry,
  verb: string,
  reason: string,
): Promise<RegistryEntry> {
  if (text.includes('://')) {
    throw new LazydiskError('USAGE', `${verb} takes a mountpoint, not a repository: ${reason}. Mount ${text} first.`);
  }
  return await findMount(text, registry);
}

async function findMount(text: string, registry: Registry): Promise<RegistryEntry> {
  const path = await resolveMountpoint(text).catch(() => undefined);
  const entry = path === undefined ? undefined : await registry.findServing(path);
  if (entry !== undefined) return entry;
  const mounted = path === undefined ? undefined : await mountedAt(path);
  if (mounted?.type === FILE_SYSTEM_TYPE) {
    throw new LazydiskError(
      'NOT_FOUND',
      `The daemon of the mount ${text} is gone: mount it again (nothing that was written is lost), or unmount it.`,
    );
  }
  throw new LazydiskError(
    'NOT_FOUND',
    `${text} is neither a repository (s3://bucket/prefix, file:///dir) nor a lazydisk mount of this host.`,
  );
}
