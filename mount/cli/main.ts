/** The program `lazydisk`. Everything is in program.ts and the verbs. */
import { runProgram } from './program.js';
import { VERBS } from './verbs.js';
import { programVersion } from './version.js';

// `lazydisk list … | head`: a reader that has seen enough is no error; a full disk is one.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`lazydisk: The output can't be written: ${error.message}.\n`);
  process.exit(1);
});

void runProgram(process.argv.slice(2), {
  verbs: VERBS,
  version: programVersion(),
  streams: process,
  environment: process.env,
  uid: process.getuid?.() ?? -1,
}).then((status) => {
  process.exitCode ??= status;
  if (status !== 0) process.exitCode = status;
});
