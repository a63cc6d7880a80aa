/**
 * The values that one mount is made from: they travel as JSON from the verb to the daemon. Never credentials.
 *
 * A supervisor gives every daemon after an upgrade the settings of the verb that started it: what is new has a default.
 */
import * as z from 'zod';

const listenAddress = z.strictObject({ host: z.string(), port: z.int().min(0).max(65_535) });

export const mountSettingsSchema = z.strictObject({
  /** `s3://bucket/prefix` or `file:///dir`. */
  repository: z.string(),
  endpoint: z.string().nullable(),
  /** Resolved (resolveMountpoint). */
  mountpoint: z.string(),
  /** null: the default directory of the repository. */
  stateDirectory: z.string().nullable(),
  /** null: within the state directory. */
  cacheDirectory: z.string().nullable(),
  /** null: keep a part of the file system free. */
  cacheSizeBytes: z.int().positive().nullable(),
  /** File of credentials in the form of ~/.aws/credentials; null: what the environment says. */
  credentialsFile: z.string().nullable().default(null),
  /** Send no credentials. */
  noSignRequest: z.boolean().default(false),
  /** Where the bucket's name stands (AddressingStyle of lib/store); null: what the environment or the profile says. */
  addressing: z.enum(['path', 'virtual']).nullable().default(null),
  /** Background fetching of open images (FillMode of lib/image/api.ts). */
  fill: z.enum(['off', 'idle', 'eager']),
  /** Stored bytes that are fetched to fill; null: no limit. */
  maxFillBytesPerSecond: z.int().positive().nullable(),
  /** Bytes that commits send; null: no limit. */
  maxUploadBytesPerSecond: z.int().positive().nullable(),
  /** What is done with boot profiles (ProfileMode). */
  profile: z.enum(['auto', 'replay', 'off']),
  /** Where the dashboard is served, a loopback address; null: nowhere. */
  dashboard: z
    .object({ host: z.string(), port: z.int().min(0).max(65_535) })
    .nullable()
    .default(null),
  driver: z.enum(['kernel', 'fuse-native']),
  /** Of the kernel driver; null: by the machine. */
  workers: z.int().min(1).max(64).nullable(),
  readOnly: z.boolean(),
  allowOther: z.boolean(),
  noExec: z.boolean().default(false),
  /** Without quotes; null: none is asked for. */
  selinuxContext: z.string().nullable().default(null),
  uid: z.int().min(0),
  gid: z.int().min(0),
  /** Permission bits that files and folders of the mount do not get. */
  umask: z.int().min(0).max(0o777),
  /** How long reads wait for a store that is away; 0: for ever. */
  timeoutMs: z.int().min(0),
  /** Where metrics are served; null: nowhere. */
  metrics: listenAddress.nullable().default(null),
  /** Reads that wait so long are logged; 0: none is. */
  slowReadMs: z.int().min(0).default(1000),
  logFormat: z.enum(['json', 'text']).default('json'),
  /** The least important lines that are kept. */
  logLevel: z.enum(['info', 'warn', 'error']).default('info'),
  /** Accept a state directory in memory. */
  force: z.boolean(),
});

export type MountSettings = Readonly<z.infer<typeof mountSettingsSchema>>;
