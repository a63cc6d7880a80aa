/**
 * The command line: all verbs, what they share, and the one place where their errors end. Nothing here exits the process:
 * the result is a status, so that tests can run it.
 */
import yargs, { type Argv } from 'yargs';
import { hasCode } from '../../lib/util/errors.js';
import { Registry } from '../service/registry.js';
import { COMMON_OPTIONS } from './common-options.js';
import { EXIT_STATUS, EXIT_STATUS_HELP, exitStatusOf, type ExitStatus } from './exit-status.js';
import { Output, type Streams } from './output.js';
import { environmentWith } from './store-environment.js';
import { factsOf } from './verb-facts.js';
import { ChosenVerb, DASH, parsableWords, PARSER, type CommonOptions, type Verb, type VerbContext } from './verb.js';
import { whereHelpIs, wrongUse } from './wrong-use.js';

export interface ProgramOptions {
  readonly verbs: readonly Verb[];
  readonly version: string;
  readonly streams: Streams;
  readonly environment: NodeJS.ProcessEnv;
  readonly uid: number;
}

/** Runs one command line (without node and the script). */
export async function runProgram(words: readonly string[], options: ProgramOptions): Promise<ExitStatus> {
  // Wrong use is met before options are parsed: whether it is told as JSON is read from the words themselves.
  const json = words.includes('--json') && !words.slice(0, words.indexOf('--json')).includes('--');
  const output = new Output(options.streams, json);
  const registry = Registry.forUser(options.uid, options.environment);
  const contextOf = ({ noSignRequest, addressing }: CommonOptions): VerbContext => ({
    output,
    registry,
    environment: environmentWith({ noSignRequest, addressing: addressing ?? null }, options.environment),
    uid: options.uid,
  });
  try {
    let program = common(options, words);
    for (const verb of options.verbs) program = verb(program, contextOf);
    const chosen = await choose(program, words);
    if (chosen instanceof ChosenVerb) await chosen.run();
    else options.streams.stdout.write(`${chosen}\n`);
    return EXIT_STATUS.ok;
  } catch (error) {
    output.failure(error);
    if (hasCode(error, 'USAGE')) output.note(whereHelpIs(words, factsOf(options.verbs)));
    return exitStatusOf(error);
  }
}

/** The verb that the words name, or the text that they ask for: help, version. USAGE. */
async function choose(program: Argv<CommonOptions>, words: readonly string[]): Promise<ChosenVerb | string> {
  let text = '';
  try {
    await program.parseAsync(parsableWords(words), {}, (_error, _parsed, help) => {
      text = help;
    });
    return text;
  } catch (error) {
    if (error instanceof ChosenVerb) return error;
    throw error;
  }
}

function common({ version, verbs }: ProgramOptions, words: readonly string[]): Argv<CommonOptions> {
  return yargs()
    .scriptName('lazydisk')
    .usage(
      '$0 VERB …\n\nMounts a bucket of virtual-machine images; each is a sparse raw file that a hypervisor opens at once.',
    )
    .parserConfiguration(PARSER)
    .options(COMMON_OPTIONS)
    .requiresArg(['endpoint', 'timeout'])
    .demandCommand(1, 'Say what to do: lazydisk VERB …')
    .strict()
    .version(version)
    .help()
    .alias('h', 'help')
    .wrap(100)
    .exitProcess(false)
    .epilogue(EXIT_STATUS_HELP)
    .fail((message: string | null, error: Error | undefined) => {
      // yargs' types promise an error, but its own complaints come as a message alone.
      if (error !== undefined && !(message !== null && error.name === 'YError')) throw error;
      const complaint = (message ?? 'The command line is not understood').replaceAll(DASH, '-');
      throw wrongUse({ message: complaint, words }, factsOf(verbs), Object.keys(COMMON_OPTIONS));
    }) as unknown as Argv<CommonOptions>;
}
