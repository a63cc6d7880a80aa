/**
 * lazydisk itself, each time with an empty state folder: nothing is local.
 *
 * The file is the head (`disk.raw`) opened for writing, as a hypervisor would, so the writer's lock is taken on the way. An
 * option that this build does not have makes the way fail with that reason.
 */
import { join } from 'node:path';
import { repositoryUrl, type PreparedImage } from '../images.js';
import { lazydiskEnvironment, type S3Access } from '../s3.js';
import { lazydiskProgram } from '../settings.js';
import { must, run, type Workspace } from '../workspace.js';
import type { ColdContext, ColdWay } from './way.js';

/** A mounted repository. */
export interface OurMount {
  readonly mountpoint: string;
  readonly daemonPid: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Mounts with an empty state folder; unmounted at the end of the workspace's scope. */
export async function mountOurs(
  workspace: Workspace,
  repository: { url: string; access: S3Access | undefined },
  options: readonly string[],
): Promise<OurMount> {
  const folder = workspace.newFolder('state');
  const mountpoint = workspace.newMountpoint();
  const env = repository.access === undefined ? { HOME: folder } : lazydiskEnvironment(repository.access, folder);
  workspace.undoLater(() => must(process.execPath, [lazydiskProgram(), 'unmount', mountpoint], { env }));
  const said = await must(
    process.execPath,
    [lazydiskProgram(), 'mount', repository.url, mountpoint, '--state', join(folder, 'state'), '--json', ...options],
    { env },
  );
  const { daemonPid } = JSON.parse(said) as { daemonPid: number };
  return { mountpoint, daemonPid, env };
}

/** Runs another verb in the environment of a mount; resolves to its stdout. */
export async function verb(mount: OurMount, args: readonly string[]): Promise<string> {
  return must(process.execPath, [lazydiskProgram(), ...args], { env: mount.env });
}

/** Which of the options `lazydisk mount` has; asked once. */
let mountHelp: Promise<string> | undefined;

/** Rejects when this build of `lazydisk mount` lacks an option. */
export async function requireMountOption(option: string): Promise<void> {
  mountHelp ??= run(process.execPath, [lazydiskProgram(), 'mount', '--help']).then(({ stdout }) => stdout);
  if (!(await mountHelp).includes(option)) throw new Error(`this build has no ${option}`);
}

/** Keeps only those `--name value` pairs whose option this build has. */
async function known(pairs: readonly (readonly [string, string])[]): Promise<string[]> {
  const kept: string[] = [];
  for (const [option, value] of pairs) {
    const has = await requireMountOption(option).then(
      () => true,
      () => false,
    );
    if (has) kept.push(option, value);
  }
  return kept;
}

/** The options of a mount that neither uses nor records a profile. */
export async function withoutProfile(): Promise<string[]> {
  return known([['--profile', 'off']]);
}

/** Name of the clone that has a profile. */
export const profiledImage = ({ name }: PreparedImage): string => `${name}-profiled`;

interface Variant extends Pick<ColdWay, 'images' | 'rounds' | 'quick'> {
  readonly id: string;
  readonly title: string;
  readonly compression?: 'default' | 'none';
  /** Options that must be there, as `--name value`. */
  readonly options?: readonly (readonly [string, string])[];
  readonly withProfile?: boolean;
  /** The mount is there before the clock starts, as on a host that serves many images. */
  readonly isMounted?: boolean;
}

function ours(variant: Variant): ColdWay {
  const { id, title, images, rounds, quick, compression = 'default', options = [], withProfile = false } = variant;
  const mount = async ({ workspace, prepared, s3, profileFailure }: ColdContext): Promise<OurMount> => {
    if (withProfile && profileFailure !== undefined) throw new Error(profileFailure);
    for (const [option] of options) await requireMountOption(option);
    const profile = withProfile ? [] : await withoutProfile();
    const url = repositoryUrl(prepared.bucket, compression);
    return mountOurs(workspace, { url, access: s3 }, [...options.flat(), ...profile]);
  };
  const file = (mounted: OurMount, image: PreparedImage): string =>
    join(mounted.mountpoint, withProfile ? profiledImage(image) : image.name, 'disk.raw');

  const common = { id, title, kind: 'ours', access: 'rw', needs: [], images, rounds, quick } as const;
  if (variant.isMounted !== true)
    return { ...common, open: async (context) => file(await mount(context), context.image) };
  const mounts = new WeakMap<Workspace, OurMount>();
  return {
    ...common,
    prepare: async (context) => {
      mounts.set(context.workspace, await mount(context));
    },
    open: ({ workspace, image }) => {
      const mounted = mounts.get(workspace);
      if (mounted === undefined) return Promise.reject(new Error('it was not prepared'));
      return Promise.resolve(file(mounted, image));
    },
  };
}

const BOTH = ['small', 'large'] as const;

export const OURS: readonly ColdWay[] = [
  ours({ id: 'ours', title: 'lazydisk, no profile', images: BOTH, rounds: 'all', quick: true }),
  ours({
    id: 'ours-fill-off',
    title: 'lazydisk, no profile, nothing in the background',
    options: [['--fill', 'off']],
    images: BOTH,
    rounds: 'all',
    quick: false,
  }),
  ours({
    id: 'ours-uncompressed',
    title: 'lazydisk, no profile, stored without compression',
    compression: 'none',
    images: ['small'],
    rounds: 'first',
    quick: false,
  }),
  ours({
    id: 'ours-mounted',
    title: 'lazydisk, no profile, mount already there',
    isMounted: true,
    images: BOTH,
    rounds: 'all',
    quick: true,
  }),
  ours({ id: 'ours-profile', title: 'lazydisk, profile', withProfile: true, images: BOTH, rounds: 'all', quick: true }),
  ours({
    id: 'ours-profile-mounted',
    title: 'lazydisk, profile, mount already there',
    withProfile: true,
    isMounted: true,
    images: BOTH,
    rounds: 'all',
    quick: true,
  }),
];
