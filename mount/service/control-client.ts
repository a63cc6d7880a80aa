/**
 * Asks a daemon over its control socket. Errors of the daemon are thrown as the LazydiskError that they were there.
 */
import { request as httpRequest } from 'node:http';
import type { BootProfile } from '../../lib/format/profile.js';
import type { CloneOutcome, CommitOutcome, HydrateOutcome } from '../../lib/image/api.js';
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { CloneWish, CommitWish } from '../tree/command-values.js';
import type { FlatResult } from '../tree/flat-snapshots.js';
import type { CommandOutcome, RunningCommand } from '../tree/outcomes.js';
import type { ImageStatusDocument, MountGlance, MountStatus } from '../tree/status-schema.js';
import {
  fromWire,
  type CommitStart,
  type ControlCommands,
  type RequestBody,
  type RequestName,
} from './control-protocol.js';
import { withSocketPath } from './socket-path.js';

/** Status is answered from what the daemon knows; commands take as long as their work does. */
const STATUS_TIMEOUT_MS = 60_000;

/** The commands of a daemon, from another process. Each call is one connection. */
export class ControlClient implements ControlCommands {
  constructor(private readonly socket: string) {}

  async commit(image: string, wish: CommitWish = {}): Promise<CommitOutcome> {
    return (await this.post('commit', { image, ...wish })) as CommitOutcome;
  }

  async beginCommit(image: string, wish: CommitWish = {}): Promise<CommitStart> {
    return (await this.post('begin-commit', { image, ...wish })) as CommitStart;
  }

  async command(id: string): Promise<RunningCommand | CommandOutcome> {
    const path = `/commands/${encodeURIComponent(id)}`;
    return (await this.call('GET', path, undefined, STATUS_TIMEOUT_MS)) as RunningCommand | CommandOutcome;
  }

  async clone(
    image: string,
    newImage: string,
    options: CloneWish & { readonly number?: number | undefined },
  ): Promise<CloneOutcome> {
    return (await this.post('clone', { image, newImage, ...options })) as CloneOutcome;
  }

  async revert(image: string, number?: number): Promise<void> {
    await this.post('revert', { image, ...(number === undefined ? {} : { number }) });
  }

  async tagged(image: string, tag: string): Promise<{ number: number }> {
    const path = `/images/${encodeURIComponent(image)}/tags/${encodeURIComponent(tag)}`;
    return (await this.call('GET', path, undefined, undefined)) as { number: number };
  }

  async unlock(image: string): Promise<void> {
    await this.post('unlock', { image });
  }

  async keepFlat(image: string, number: number): Promise<FlatResult> {
    return (await this.post('keep-flat', { image, number })) as FlatResult;
  }

  async dropFlat(image: string, number: number): Promise<{ dropped: boolean }> {
    return (await this.post('drop-flat', { image, number })) as { dropped: boolean };
  }

  async hydrate(image: string, number?: number): Promise<HydrateOutcome> {
    return (await this.post('hydrate', { image, ...(number === undefined ? {} : { number }) })) as HydrateOutcome;
  }

  async recordProfile(image: string): Promise<BootProfile> {
    return (await this.post('record-profile', { image })) as BootProfile;
  }

  async restart(program: string): Promise<void> {
    await this.post('restart', { program });
  }

  async unmount(): Promise<void> {
    await this.post('unmount', {});
  }

  async status(timeoutMs = STATUS_TIMEOUT_MS): Promise<MountStatus> {
    return (await this.call('GET', '/status', undefined, timeoutMs)) as MountStatus;
  }

  async glance(): Promise<MountGlance> {
    return (await this.call('GET', '/glance', undefined, STATUS_TIMEOUT_MS)) as MountGlance;
  }

  async imageStatus(image: string): Promise<ImageStatusDocument> {
    const path = `/images/${encodeURIComponent(image)}/status`;
    return (await this.call('GET', path, undefined, STATUS_TIMEOUT_MS)) as ImageStatusDocument;
  }

  private post<Name extends RequestName>(name: Name, body: RequestBody<Name>): Promise<unknown> {
    return this.call('POST', `/${name}`, JSON.stringify(body), undefined);
  }

  private async call(
    method: string,
    path: string,
    body: string | undefined,
    timeoutMs: number | undefined,
  ): Promise<unknown> {
    const { status, text } = await withSocketPath(this.socket, (address) =>
      exchange(this.socket, address, method, path, body, timeoutMs),
    );
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new LazydiskError('IO', `The daemon at ${this.socket} did not answer with JSON.`, { cause: error });
    }
    if (status === 200) return value;
    throw fromWire((value as { error?: unknown } | null)?.error);
  }
}

function exchange(
  socket: string,
  address: string,
  method: string,
  path: string,
  body: string | undefined,
  timeoutMs: number | undefined,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const failed = (error: unknown): void => {
      reject(connectionError(socket, error));
    };
    const request = httpRequest(
      {
        socketPath: address,
        method,
        path,
        headers:
          body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        ...(timeoutMs === undefined ? {} : { signal: AbortSignal.timeout(timeoutMs) }),
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', failed);
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') });
        });
      },
    );
    request.on('error', failed);
    request.end(body);
  });
}

function connectionError(socket: string, error: unknown): LazydiskError {
  const name = errnoOf(error);
  if (name === 'EACCES' || name === 'EPERM') {
    return new LazydiskError(
      'REFUSED',
      `Only the user who mounted may use ${socket}: run it as that user (or as root).`,
      {
        cause: error,
      },
    );
  }
  const reason = error instanceof Error && error.name === 'AbortError' ? 'it did not answer in time' : messageOf(error);
  return new LazydiskError('IO', `The daemon at ${socket} could not be asked: ${reason}.`, { cause: error });
}
