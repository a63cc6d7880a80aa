#!/usr/bin/env node
/**
 * The program behind /sbin/mount.lazydisk: runs `lazydisk mount` beside it, with no more than mount(8) gives: no terminal,
 * often neither HOME nor PATH. Quiet when it worked, one sentence and status 32 when not.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../../lib/util/errors.js';
import { helperRequest, MOUNT_FAILURE } from './mount-helper.js';

const PROGRAM = fileURLToPath(new URL('./main.js', import.meta.url));

function mount(): number {
  const { words, fake, verbose } = helperRequest(process.argv.slice(2));
  if (verbose) process.stdout.write(`mount.lazydisk: lazydisk ${words.join(' ')}\n`);
  if (fake) return 0;
  const said = verbose ? 'inherit' : 'ignore';
  const { status, error } = spawnSync(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', said, 'inherit'] });
  if (error !== undefined) throw error;
  return status === 0 ? 0 : MOUNT_FAILURE;
}

try {
  process.exitCode = mount();
} catch (error) {
  process.stderr.write(`mount.lazydisk: ${messageOf(error)}\n`);
  process.exitCode = MOUNT_FAILURE;
}
