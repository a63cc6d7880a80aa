// A process that removes the files of unlisted layers and kills itself (SIGKILL) after one step. Arguments: compiled library, folder of
// the head, after which step. It ends with status 0 when everything is removed before that.
import { join } from 'node:path';

const [library, folder, killAfter] = process.argv.slice(2);
const { LayerRemoval } = await import(join(library, 'lib/image/layer-removal.js'));
const { unlistedLayers } = await import(join(library, 'lib/image/layer-files.js'));

let steps = 0;
const removal = new LayerRemoval({ warn: (message) => console.error(message) }, () => {
  if (++steps !== Number(killAfter)) return;
  process.kill(process.pid, 'SIGKILL');
  for (;;); // the signal may take a moment
});
removal.start(await unlistedLayers(folder, []));
