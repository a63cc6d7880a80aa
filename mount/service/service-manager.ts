/**
 * What a service manager (systemd, Type=notify) wants to be told: that the mount is there, and which process to watch from now on,
 * since the command that mounts ends. It says where by NOTIFY_SOCKET; without it nobody asks.
 */
import { messageOf } from '../../lib/util/errors.js';

/** Environment variable with the path of its socket. */
const SOCKET_VARIABLE = 'NOTIFY_SOCKET';

export interface Readiness {
  /** The process that lives as long as the mount; null: this one. */
  readonly mainPid: number | null;
  /** One line for people. */
  readonly status: string;
}

/** Resolves to why it could not be told; undefined when it was, or nobody asked. */
export async function tellServiceManager(
  { mainPid, status }: Readiness,
  environment: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const socket = environment[SOCKET_VARIABLE];
  if (socket === undefined || socket === '') return undefined;
  const lines = ['READY=1', ...(mainPid === null ? [] : [`MAINPID=${String(mainPid)}`]), `STATUS=${status}`];
  try {
    const { sendDatagram } = await import('../../lib/util/datagram.js');
    sendDatagram(socket, lines.join('\n'));
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
