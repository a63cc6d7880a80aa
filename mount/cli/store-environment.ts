/** What options say of the way to a store, as the variables that lib/store looks for. */
import type { AddressingStyle } from '../../lib/store/s3-settings.js';

export interface StoreOptions {
  /** A file in the form of ~/.aws/credentials, which goes before keys in the environment. */
  readonly credentialsFile?: string | null;
  readonly noSignRequest: boolean;
  /** null: what the environment or the profile says. */
  readonly addressing: AddressingStyle | null;
}

const KEY_VARIABLES = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'];

/** The environment with the options in it; where an option says nothing, as it was. */
export function environmentWith(options: StoreOptions, environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { credentialsFile = null, noSignRequest, addressing } = options;
  const withoutKeys =
    credentialsFile === null
      ? environment
      : Object.fromEntries(Object.entries(environment).filter(([name]) => !KEY_VARIABLES.includes(name)));
  return {
    ...withoutKeys,
    ...(credentialsFile === null ? {} : { AWS_SHARED_CREDENTIALS_FILE: credentialsFile }),
    ...(noSignRequest ? { LAZYDISK_NO_SIGN_REQUEST: '1' } : {}),
    ...(addressing === null ? {} : { LAZYDISK_ADDRESSING: addressing }),
  };
}
