/** A command through a control file of a mount, as a guest's host would give it: no program is started. */
import { open } from 'node:fs/promises';

const LONGEST_OUTCOME_BYTES = 65_536;

/** Resolves when the command is done, to what its verb answers; rejects with the errno of the write when it failed. */
export async function controlCommand(controlFile: string, line: string): Promise<unknown> {
  const file = await open(controlFile, 'r+');
  try {
    await file.write(`${line}\n`);
    const bytes = Buffer.alloc(LONGEST_OUTCOME_BYTES);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    return (JSON.parse(bytes.toString('utf8', 0, bytesRead)) as { readonly result?: unknown }).result;
  } finally {
    await file.close();
  }
}
