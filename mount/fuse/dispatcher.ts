/**
 * Requests that the workers hand over: decoded, performed, answered. Every request gets exactly one reply, whatever happens
 * to it; those to which the kernel expects none get none.
 *
 * Requests are handled at the same time, in no order: the kernel does not send what must wait for something else.
 */
import type { Log } from '../../lib/util/log.js';
import { messageOf } from '../../lib/util/errors.js';
import { Callers } from './callers.js';
import { answerTo, errnoNumber } from './errno.js';
import type { FileSystem } from './file-system.js';
import { Operations, type Served } from './operations.js';
import { decode } from './protocol/decode.js';
import { hasReply, opcodeName } from './protocol/opcodes.js';
import { mayAnswerEnosys, refusalOf } from './protocol/refusals.js';
import type { RequestHeader } from './protocol/requests.js';
import type { Passthrough } from './passthrough.js';
import type { Replies } from './replies.js';
import type { TroubleLog } from './trouble-log.js';

export class Dispatcher {
  private readonly callers = new Callers();
  private readonly operations: Operations;
  private reads = 0;

  constructor(
    fileSystem: FileSystem,
    private readonly replies: Replies,
    passthrough: Passthrough,
    log: Log,
    private readonly trouble: TroubleLog,
  ) {
    this.operations = new Operations(fileSystem, passthrough, log);
  }

  /** READ requests that are being handled now. */
  get waitingReads(): number {
    return this.reads;
  }

  /** Handles one request; resolves when it was answered, and never rejects. `bytes` are ours. */
  async handle(bytes: Uint8Array): Promise<void> {
    const decoded = decode(bytes);
    if (!decoded.ok) {
      const { opcode, unique, errno, reason } = decoded.bad;
      // Offsets and modes that are not served are the caller's business; only what the kernel got wrong is trouble.
      if (errno === 'EIO') this.trouble.report(`fuse: ${opcodeName(opcode)} was not understood: ${reason}`);
      if (unique !== undefined && hasReply(opcode)) this.replies.error(unique, errnoNumber(errno));
      return;
    }
    const { header, operation } = decoded.request;
    switch (operation.kind) {
      case 'interrupt':
        this.callers.interrupt(operation.target);
        return;
      case 'ignored':
        return;
      case 'refused':
        this.replies.error(header.unique, errnoNumber(refusalOf(header.opcode)));
        return;
      default:
        await this.perform(header, operation);
    }
  }

  /** The connection is gone: who still waits for something need not. */
  abandon(): void {
    this.callers.fireAll();
  }

  private async perform(header: RequestHeader, operation: Served): Promise<void> {
    const isRead = operation.kind === 'read';
    if (isRead) this.reads++;
    const caller = this.callers.begin(header, this.operations.isControl(operation) ? 'at-once' : 'when-killed');
    try {
      this.replies.body(header.unique, await this.operations.perform(header.node, operation, caller));
    } catch (error) {
      this.fail(header, error);
    } finally {
      this.callers.end(header.unique);
      if (isRead) this.reads--;
    }
  }

  private fail(header: RequestHeader, error: unknown): void {
    const { name, errno, worthLogging } = answerTo(error);
    if (worthLogging) {
      this.trouble.report(`fuse: ${opcodeName(header.opcode)} failed with ${name}: ${messageOf(error)}`, {
        node: header.node,
        stack: (error as { stack?: unknown } | null | undefined)?.stack,
      });
    }
    // answerTo never says ENOSYS; this stands here because one ENOSYS too many is for ever.
    const forbidden = name === 'ENOSYS' && !mayAnswerEnosys(header.opcode);
    this.replies.error(header.unique, forbidden ? errnoNumber('EIO') : errno);
  }
}
