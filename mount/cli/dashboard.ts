/** `lazydisk dashboard`: the address of a mount's page, with its token. */
import { LazydiskError } from '../../lib/util/errors.js';
import { pageUrl, readAddress } from '../dashboard/address-file.js';
import { resolveMountpoint } from '../service/mountpoint.js';
import { defineVerb } from './verb.js';

export const dashboardVerb = defineVerb({
  command: 'dashboard <mountpoint>',
  summary: 'Print the address of the page that shows what a mount does',
  examples: [['dashboard /mnt', 'of a mount that was made with --dashboard 127.0.0.1:8090; open it in a browser']],
  options: (program) =>
    program.positional('mountpoint', { type: 'string', demandOption: true, describe: 'where it is mounted' }),
  run: async ({ mountpoint }, { output, registry }) => {
    const path = await resolveMountpoint(mountpoint);
    const entry = await registry.findServing(path);
    if (entry === undefined) {
      throw new LazydiskError('NOT_FOUND', `Nothing of lazydisk is mounted on ${path}: see \`lazydisk mount --help\`.`);
    }
    const address = await readAddress(entry.stateDirectory);
    if (address === undefined) {
      throw new LazydiskError(
        'NOT_FOUND',
        `${path} has no dashboard, or it is not yours to read: mount with --dashboard 127.0.0.1:8090.`,
      );
    }
    const url = pageUrl(address);
    output.result({ mountpoint: path, url }, () => url);
  },
});
