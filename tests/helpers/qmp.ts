/** QEMU's monitor protocol (QMP) over a unix socket: how a test asks whether a guest runs, and lets it go on. */
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';

/** Runs one command; resolves to what it returned. Rejects when QEMU is gone, or says no. */
export async function qmp(socketPath: string, command: string): Promise<unknown> {
  const socket = createConnection(socketPath);
  const failed = new Promise<never>((_, reject) => socket.on('error', reject));
  failed.catch(() => undefined);
  const say = (execute: string): void => void socket.write(`${JSON.stringify({ execute })}\n`);
  const conversation = async (): Promise<unknown> => {
    let answers = 0;
    for await (const line of createInterface({ input: socket })) {
      const message = JSON.parse(line) as { QMP?: unknown; return?: unknown; error?: { desc?: string } };
      if (message.error !== undefined) throw new Error(`QEMU refused ${command}: ${message.error.desc ?? ''}`);
      if (message.QMP !== undefined) say('qmp_capabilities');
      if (!('return' in message)) continue; // the greeting, or an event
      answers += 1;
      if (answers === 2) return message.return;
      say(command);
    }
    throw new Error(`QEMU ended before it answered ${command}`);
  };
  try {
    return await Promise.race([conversation(), failed]);
  } finally {
    socket.destroy();
  }
}

/** `running`, `io-error` (stopped by rerror=stop or werror=stop), `paused`, … */
export async function guestState(socketPath: string): Promise<string> {
  return ((await qmp(socketPath, 'query-status')) as { status: string }).status;
}
