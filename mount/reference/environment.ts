/** The environment variables that lazydisk reads, in the order in which the docs show them. */

export interface Variable {
  readonly name: string;
  readonly meaning: string;
}

export const ENVIRONMENT: readonly Variable[] = [
  { name: 'AWS_ACCESS_KEY_ID', meaning: 'key of the store; wins over the files' },
  { name: 'AWS_SECRET_ACCESS_KEY', meaning: 'its secret' },
  { name: 'AWS_SESSION_TOKEN', meaning: 'of temporary credentials' },
  { name: 'AWS_PROFILE', meaning: 'section of the files below (default: default)' },
  { name: 'AWS_SHARED_CREDENTIALS_FILE', meaning: 'file with keys (default: ~/.aws/credentials)' },
  { name: 'AWS_CONFIG_FILE', meaning: 'file with region and endpoint_url (default: ~/.aws/config)' },
  { name: 'AWS_ENDPOINT_URL_S3', meaning: 'URL of the S3 server, when --endpoint is not given' },
  { name: 'AWS_ENDPOINT_URL', meaning: 'the same, after AWS_ENDPOINT_URL_S3' },
  { name: 'AWS_REGION', meaning: 'region of the bucket; only Amazon needs one, and can be asked' },
  { name: 'AWS_DEFAULT_REGION', meaning: 'the same, after AWS_REGION' },
  {
    name: 'AWS_CA_BUNDLE',
    meaning: 'certificates of the authorities that are trusted, as PEM (default: those of Node)',
  },
  { name: 'AWS_WEB_IDENTITY_TOKEN_FILE', meaning: 'token that opens the role AWS_ROLE_ARN' },
  { name: 'AWS_CONTAINER_CREDENTIALS_FULL_URI', meaning: 'service that gives a container its keys' },
  { name: 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', meaning: 'the same, on the host that Amazon has for it' },
  {
    name: 'AWS_EC2_METADATA_SERVICE_ENDPOINT',
    meaning: 'service that gives an instance its keys, elsewhere than at Amazon',
  },
  { name: 'AWS_EC2_METADATA_DISABLED', meaning: 'true: an instance is not asked for its keys' },
  { name: 'LAZYDISK_NO_SIGN_REQUEST', meaning: '1: the same as --no-sign-request' },
  { name: 'LAZYDISK_ADDRESSING', meaning: 'path, virtual or auto, when --addressing is not given' },
  { name: 'HOME', meaning: 'where .aws is' },
  { name: 'PATH', meaning: 'where qemu-img, mke2fs, xz and other programs of import and export are looked for' },
  { name: 'TMPDIR', meaning: 'what import and export need on the local disk for a while (default: /var/tmp)' },
  { name: 'XDG_STATE_HOME', meaning: 'state folders of users other than root (default: ~/.local/state)' },
  { name: 'XDG_RUNTIME_DIR', meaning: 'the register of live mounts of users other than root' },
  { name: 'LAZYDISK_RUNTIME_DIR', meaning: 'the register of live mounts (default: /run/lazydisk)' },
  {
    name: 'LAZYDISK_FUSE_WITHOUT',
    meaning: 'features of the kernel to do without, as resend,passthrough: for tests and faulty kernels',
  },
];
