/** `lazydisk doctor`: what this host, and a repository, have and lack, and what to do about it. */
import { release } from 'node:os';
import { resolve } from 'node:path';
import { parseLocation } from '../../lib/store/location.js';
import { resolveS3Settings } from '../../lib/store/s3-settings.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { defaultStateRoot } from '../service/state-directory.js';
import { failed, ok, spoken, type Finding } from './doctor/finding.js';
import { allowOtherFinding, fuseFindings, helperFinding, kernelFinding, nodeFinding } from './doctor/host.js';
import { stateFindings } from './doctor/state-folder.js';
import { storeFindings } from './doctor/store.js';
import { withStore } from './store-stack.js';
import { defineVerb, parseSeconds, WHERE } from './verb.js';
import { resolveWhere, type RepositoryAddress } from './where.js';

/** Somebody sits before it. */
const DEFAULT_TIMEOUT_MS = 10_000;

export const doctorVerb = defineVerb({
  command: 'doctor [where]',
  summary: 'Say what this host, and a repository, have and lack, and what to do about it',
  examples: [
    ['doctor', 'this host: Node, kernel, FUSE, disk'],
    ['doctor s3://images/prod', 'credentials, rights and If-None-Match, too; puts one small object and deletes it'],
    ['doctor s3://images/prod --json', 'for programs; the status is 0 when nothing fails'],
  ],
  options: (program) =>
    program
      .positional('where', { type: 'string', describe: WHERE.describe })
      .option('state', { type: 'string', describe: 'folder for local writes, as a mount would be given' }),
  run: async (options, { output, registry, environment, uid }) => {
    const timeoutMs = options.timeout === undefined ? DEFAULT_TIMEOUT_MS : parseSeconds(options.timeout, '--timeout');
    // A word that is no repository is said before anything is tried.
    const where =
      options.where === undefined ? undefined : await resolveWhere(options.where, options.endpoint, registry);
    const findings = [
      nodeFinding(process.versions.node),
      kernelFinding(release()),
      ...(await fuseFindings()),
      await allowOtherFinding(uid),
      await helperFinding(),
      ...(await stateFindings(resolve(options.state ?? defaultStateRoot(uid, environment)))),
      ...(where === undefined ? [] : await addressFindings(where.repository, environment, timeoutMs)),
    ];
    output.result({ findings }, () => spoken(findings));
    const failures = findings.filter(({ outcome }) => outcome === 'fail').map(({ check }) => check);
    if (failures.length === 0) return;
    throw new LazydiskError(
      'UNSUPPORTED',
      `Not all is well (${failures.join(', ')}): the lines that begin with "fail" say what to do.`,
      { facts: { failures } },
    );
  },
});

async function addressFindings(
  address: RepositoryAddress,
  environment: NodeJS.ProcessEnv,
  timeoutMs: number,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (parseLocation(address.url).kind !== 'file') {
    try {
      const { endpoint, readCredentials } = await resolveS3Settings(environment, address.endpoint);
      await readCredentials();
      findings.push(ok('credentials', `found, for ${endpoint.url}`));
    } catch (error) {
      return [failed('credentials', error)];
    }
  }
  return [...findings, ...(await withStore(address, { environment, timeoutMs }, storeFindings))];
}
