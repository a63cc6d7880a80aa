/**
 * Each operation of the protocol as a call of the file system, and its result as the body of a reply.
 */
import type { Log } from '../../lib/util/log.js';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import { answerTo, FsError } from './errno.js';
import { FIRST_CONTROL_HANDLE, type AttributeChanges, type Caller, type FileSystem } from './file-system.js';
import { OpenDirectories } from './open-directories.js';
import type { Passthrough } from './passthrough.js';
import {
  encodeAttributes,
  encodeCreated,
  encodeEntry,
  encodeOffset,
  encodeOpened,
  encodeOpenedDirectory,
  encodeOpenedPassthrough,
  encodeStatistics,
  encodeWritten,
} from './protocol/encode.js';
import type { Operation, SetAttributes } from './protocol/requests.js';

/** Operations that a file system is asked for. */
export type Served = Exclude<Operation, { kind: 'interrupt' | 'ignored' | 'refused' }>;

/** Operations that must not be done twice. */
export type OnceOnly = Extract<Served, { kind: 'mkdir' | 'create' | 'rmdir' | 'write' | 'flush' }>;

/** Whether it is about a control (or status) file: then a signal of the caller ends the wait at once. */
export function isControl(operation: Operation): boolean {
  if (!('handle' in operation) || operation.kind === 'readdir' || operation.kind === 'releasedir') return false;
  return operation.handle >= FIRST_CONTROL_HANDLE;
}

/** Whether it must not be done twice. A write to a disk may: nobody was told that it is done, and it says the same again. */
export function isOnceOnly(operation: Served): operation is OnceOnly {
  switch (operation.kind) {
    case 'mkdir':
    case 'create':
    case 'rmdir':
      return true;
    case 'write':
    case 'flush':
      return isControl(operation);
    default:
      return false;
  }
}

const NO_BODY = new Uint8Array(0);

export class Operations {
  private readonly directories: OpenDirectories;
  constructor(
    private readonly fileSystem: FileSystem,
    private readonly passthrough: Passthrough,
    private readonly log: Log,
  ) {
    this.directories = new OpenDirectories(fileSystem);
  }

  /**
   * A request of which an earlier daemon has begun what must not be done twice, and of which nobody knows how far it came.
   * Names are made and removed as asked: where that is done already, it was this request. A command is not run again.
   */
  async complete(node: number, operation: OnceOnly, caller: Caller): Promise<Uint8Array> {
    const { fileSystem } = this;
    switch (operation.kind) {
      case 'mkdir':
        return this.perform(node, operation, caller).catch(async (error: unknown) => {
          if (answerTo(error).name !== 'EEXIST') throw error;
          return encodeEntry(await fileSystem.lookup(node, operation.name, caller));
        });
      case 'create':
        return this.perform(node, operation, caller).catch(async (error: unknown) => {
          if (answerTo(error).name !== 'EEXIST') throw error;
          const attributes = await fileSystem.lookup(node, operation.name, caller);
          const opened = await fileSystem.open(attributes.node, operation.flags, caller);
          await this.passthrough.opened(attributes.node, opened.handle, undefined);
          return encodeCreated(attributes, opened);
        });
      case 'rmdir':
        return this.perform(node, operation, caller).catch((error: unknown) => {
          if (answerTo(error).name !== 'ENOENT') throw error;
          return NO_BODY;
        });
      case 'write':
      case 'flush':
        throw new LazydiskError(
          'IO',
          'The daemon died while it ran this command, which may have been done or not: look before you give it again.',
        );
    }
  }

  /** The body of the reply; rejects with what answerTo understands. */
  async perform(node: number, operation: Served, caller: Caller): Promise<Uint8Array> {
    const { fileSystem } = this;
    switch (operation.kind) {
      case 'lookup':
        return encodeEntry(await fileSystem.lookup(node, operation.name, caller));
      case 'getattr':
        return encodeAttributes(await fileSystem.getAttributes(node, caller));
      case 'setattr':
        return encodeAttributes(await fileSystem.setAttributes(node, changesNow(operation.changes), caller));
      case 'readlink':
        return Buffer.from(await fileSystem.readLink(node, caller), 'utf8');
      case 'mkdir':
        return encodeEntry(await fileSystem.makeDirectory(node, operation.name, operation.mode, caller));
      case 'create': {
        const { name, mode, flags } = operation;
        const { attributes, opened } = await fileSystem.create(node, name, mode, flags, caller);
        if (!opened.directIo) await this.passthrough.opened(attributes.node, opened.handle, undefined);
        return encodeCreated(attributes, opened);
      }
      case 'make-other':
        return fileSystem.makeOther(node, operation.name, caller);
      case 'unlink':
        await fileSystem.unlink(node, operation.name, caller);
        return NO_BODY;
      case 'rmdir':
        await fileSystem.removeDirectory(node, operation.name, caller);
        return NO_BODY;
      case 'rename':
        // renameat2(2) has EINVAL for flags that a file system does not know; mv then tries without.
        if (operation.flags !== 0) throw new FsError('EINVAL', 'flags of rename are not served');
        await fileSystem.rename(node, operation.name, operation.newParent, operation.newName, caller);
        return NO_BODY;
      case 'open': {
        const opened = await fileSystem.open(node, operation.flags, caller);
        if (opened.directIo) return encodeOpened(opened);
        const backingId = await this.passthrough.opened(node, opened.handle, opened.backing);
        return backingId === undefined ? encodeOpened(opened) : encodeOpenedPassthrough(opened, backingId);
      }
      case 'read': {
        const { handle, offset, lengthBytes } = operation;
        const bytes = await fileSystem.read(node, handle, offset, lengthBytes, caller);
        if (bytes.byteLength > lengthBytes) throw new Error('more bytes were read than asked for');
        return bytes;
      }
      case 'write': {
        const { handle, offset, bytes } = operation;
        const lengthBytes = bytes.byteLength;
        await fileSystem.write(node, handle, offset, bytes, caller);
        return encodeWritten(lengthBytes);
      }
      case 'flush':
        await fileSystem.flush(node, operation.handle, caller);
        return NO_BODY;
      case 'release':
        this.release(node, operation.handle);
        return NO_BODY;
      case 'fsync':
        await fileSystem.fsync(node, operation.handle, caller);
        return NO_BODY;
      case 'allocate': {
        const { mode, offset, lengthBytes } = operation;
        await fileSystem.allocate(node, mode, offset, lengthBytes, caller);
        return NO_BODY;
      }
      case 'seek':
        return encodeOffset(await fileSystem.seek(node, operation.offset, operation.whence, caller));
      case 'opendir':
        return encodeOpenedDirectory(this.directories.open());
      case 'readdir':
        return this.directories.page({ node, ...operation }, caller);
      case 'releasedir':
        this.directories.close(operation.handle);
        return NO_BODY;
      case 'statfs':
        return encodeStatistics(await fileSystem.statistics());
      case 'fsyncdir':
      case 'destroy':
        // What a folder shows is durable before the reply that made it.
        return NO_BODY;
    }
  }

  /** Nobody waits for a release: it goes on after the answer. */
  private release(node: number, handle: number): void {
    if (handle < FIRST_CONTROL_HANDLE) setImmediate(() => this.passthrough.released(node, handle));
    this.fileSystem.release(node, handle).catch((error: unknown) => {
      this.log.error(`fuse: closing node ${String(node)} failed: ${messageOf(error)}`);
    });
  }
}

function changesNow(changes: SetAttributes): AttributeChanges {
  const { atimeMs, mtimeMs, ...others } = changes;
  const nowMs = Date.now();
  return {
    ...others,
    ...(atimeMs !== undefined && { atimeMs: atimeMs === 'now' ? nowMs : atimeMs }),
    ...(mtimeMs !== undefined && { mtimeMs: mtimeMs === 'now' ? nowMs : mtimeMs }),
  };
}
