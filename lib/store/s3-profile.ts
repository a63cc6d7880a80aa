/** The shared AWS files, as far as one profile goes. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { loadSharedConfigFiles } from '@smithy/core/config';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Names and values; those of a nested section are `section.name`. */
export type Section = Readonly<Record<string, string | undefined>>;

export interface Profile {
  /** AWS_PROFILE, or `default`. */
  readonly name: string;
  readonly credentials: Section | undefined;
  readonly config: Section | undefined;
  /** The `services` section that the profile names. */
  readonly services: Section | undefined;
  /** Paths of the two files, whether they are there or not. */
  readonly credentialsFile: string;
  readonly configFile: string;
}

/** Reads the files anew. A file that is missing is empty. */
export async function readProfile(environment: Environment, load: typeof loadSharedConfigFiles): Promise<Profile> {
  const home = join(environment.HOME || homedir(), '.aws');
  const credentialsFile = environment.AWS_SHARED_CREDENTIALS_FILE || join(home, 'credentials');
  const configFile = environment.AWS_CONFIG_FILE || join(home, 'config');
  const found = await load({
    filepath: credentialsFile,
    configFilepath: configFile,
    // The library keeps a file for ever otherwise, and rotated credentials would not be seen.
    ignoreCache: true,
  });
  const name = environment.AWS_PROFILE || 'default';
  const config = found.configFile[name];
  return {
    name,
    credentials: found.credentialsFile[name],
    config,
    services: config?.services === undefined ? undefined : found.configFile[`services.${config.services}`],
    credentialsFile,
    configFile,
  };
}
