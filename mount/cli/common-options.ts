/** The options that verbs share: `--help`, the man page, the configuration page and the -o twins all come from here. */
import { ADDRESSING_STYLES } from '../../lib/store/s3-settings.js';

/** Those of every verb. */
export const COMMON_OPTIONS = {
  json: { type: 'boolean', default: false as boolean, describe: 'data on stdout and errors on stderr as JSON' },
  endpoint: { type: 'string', describe: 'URL of the S3 server (else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)' },
  'no-sign-request': {
    type: 'boolean',
    default: false as boolean,
    describe: 'send no credentials, for a bucket that everybody may read (else LAZYDISK_NO_SIGN_REQUEST=1)',
  },
  addressing: {
    choices: ADDRESSING_STYLES,
    describe: 'where the name of the bucket stands (else LAZYDISK_ADDRESSING; default: path, with Amazon virtual)',
  },
  timeout: { type: 'string', describe: 'seconds to wait for a store that is away (default 30; 0: for ever)' },
} as const;

/** The option of verbs that upload much. */
export const MAX_UPLOAD = {
  type: 'string',
  describe: 'most bytes a second that uploads of image data send, as 20M (default: as fast as it goes)',
} as const;
