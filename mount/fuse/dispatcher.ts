/**
 * Requests that the workers hand over: decoded, performed, answered. Every request gets exactly one reply, whatever happens
 * to it; those to which the kernel expects none get none.
 *
 * Requests are handled at the same time, in no order: the kernel does not send what must wait for something else. Those that
 * must not be done twice are recorded (request-records.ts).
 */
import type { Log } from '../../lib/util/log.js';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import { Callers } from './callers.js';
import { answerTo, errnoNumber } from './errno.js';
import type { Caller, FileSystem } from './file-system.js';
import { isControl, isOnceOnly, Operations, type OnceOnly, type Served } from './operations.js';
import { decode } from './protocol/decode.js';
import { hasReply, opcodeName } from './protocol/opcodes.js';
import { mayAnswerEnosys, refusalOf } from './protocol/refusals.js';
import type { RequestHeader } from './protocol/requests.js';
import type { Passthrough } from './passthrough.js';
import type { Replies } from './replies.js';
import type { RequestAnswer, RequestRecords } from './request-records.js';
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
    /** undefined: no other daemon can be asked again what this one was asked. */
    private readonly records?: RequestRecords,
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
    const caller = this.callers.begin(header, isControl(operation) ? 'at-once' : 'when-killed');
    try {
      const { records } = this;
      if (records !== undefined && isOnceOnly(operation)) await this.performOnce(header, operation, caller, records);
      else this.replies.body(header.unique, await this.operations.perform(header.node, operation, caller));
    } catch (error) {
      this.replies.error(header.unique, this.errnoOf(header, error));
    } finally {
      this.callers.end(header.unique);
      if (isRead) this.reads--;
    }
  }

  /** The answer is kept before it is given. Rejects, unanswered, when the request could not be recorded. */
  private async performOnce(header: RequestHeader, operation: OnceOnly, caller: Caller, records: RequestRecords) {
    const { unique, node } = header;
    const earlier = records.earlierRun(unique);
    let answer: RequestAnswer;
    if (earlier === undefined || earlier.kind === 'begun') {
      await records.begun(unique);
      const work =
        earlier === undefined
          ? this.operations.perform(node, operation, caller)
          : this.operations.complete(node, operation, caller);
      answer = await work.then(
        (body): RequestAnswer => ({ kind: 'body', body }),
        (error: unknown): RequestAnswer => ({ kind: 'errno', errno: this.errnoOf(header, error) }),
      );
      await records.answered(unique, answer);
    } else {
      answer = earlier;
    }
    if (answer.kind === 'body') this.replies.body(unique, answer.body);
    else this.replies.error(unique, answer.errno);
    records.forget(unique).catch((error: unknown) => {
      this.trouble.report(`fuse: the record of a request could not be removed: ${messageOf(error)}`);
    });
  }

  /** The errno of a request that failed; what an operator should know of is logged. */
  private errnoOf(header: RequestHeader, error: unknown): number {
    const { name, errno, worthLogging } = answerTo(error);
    if (worthLogging) {
      this.trouble.report(`fuse: ${opcodeName(header.opcode)} failed with ${name}: ${messageOf(error)}`, {
        node: header.node,
        // Where an expected error came from says nothing that its sentence does not.
        ...(error instanceof LazydiskError ? {} : { stack: (error as { stack?: unknown } | null | undefined)?.stack }),
      });
    }
    // answerTo never says ENOSYS; this stands here because one ENOSYS too many is for ever.
    return name === 'ENOSYS' && !mayAnswerEnosys(header.opcode) ? errnoNumber('EIO') : errno;
  }
}
