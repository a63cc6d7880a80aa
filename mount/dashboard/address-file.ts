/**
 * Where the dashboard of a mount is, with its token: `dashboard.json` in the state directory, for its owner's eyes only.
 *
 * Each mount has a new token; a daemon that takes over goes on with token and port, so that an open page finds it again.
 */
import { randomBytes } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { replaceFile } from '../service/files.js';
import { formatListenAddress, type ListenAddress } from '../service/listen-address.js';

const FILE_NAME = 'dashboard.json';
const TOKEN_BYTES = 32;

const schema = z.object({
  host: z.string(),
  port: z.int().min(1).max(65_535),
  token: z.string().regex(/^[\w-]{43}$/),
});

export interface DashboardAddress extends ListenAddress {
  readonly token: string;
}

export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

/** For a browser. What is behind # stays there: it is in no request, and so in no log. */
export function pageUrl(address: DashboardAddress): string {
  return `http://${formatListenAddress(address)}/#token=${address.token}`;
}

/** undefined: there is none, or it can't be read. */
export async function readAddress(stateDirectory: string): Promise<DashboardAddress | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(join(stateDirectory, FILE_NAME), 'utf8')));
  } catch {
    return undefined;
  }
}

export async function keepAddress(stateDirectory: string, { host, port, token }: DashboardAddress): Promise<void> {
  await replaceFile(join(stateDirectory, FILE_NAME), `${JSON.stringify({ host, port, token })}\n`);
}

export async function forgetAddress(stateDirectory: string): Promise<void> {
  await rm(join(stateDirectory, FILE_NAME), { force: true });
}
