// A process that does one thing to a repository and kills itself (SIGKILL) at one step of it. Arguments: compiled library, folder of the
// repository, folder of the state, what to do, where to be killed:
//   before N, after N   at the N-th request that changes the store (put, delete), counted from the begin of the work
//   a name              when that step of a commit has taken effect
//   nowhere
// It ends with status 0 when the work is done.
import { join } from 'node:path';

const [library, repositoryFolder, stateFolder, work, killAt] = process.argv.slice(2);
const {
  chunkSource,
  cloneSnapshot,
  collectRepository,
  importImage,
  LocalDatabase,
  LocalNodes,
  LocalPlaces,
  noFeed,
  noWorkers,
  openCatalogue,
  openMirror,
  openRepository,
  openStore,
  parseLocation,
  randomId,
  silentLog,
} = await import(join(library, 'lib/index.js'));

const inner = await openStore(parseLocation(`file://${repositoryFolder}`));
let requests = 0;
const dieIf = async (step) => {
  if (step !== killAt) return;
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => {}); // the signal may take a moment
};
const changing = async (request) => {
  const number = ++requests;
  await dieIf(`before ${number}`);
  try {
    return await request();
  } finally {
    await dieIf(`after ${number}`);
  }
};
const store = {
  location: inner.location,
  get: (key, options) => inner.get(key, options),
  list: (prefix, options) => inner.list(prefix, options),
  put: (key, bytes, options) => changing(() => inner.put(key, bytes, options)),
  delete: (key, options) => changing(() => inner.delete(key, options)),
  close: () => inner.close(),
};

const repository = await openRepository(store);

async function commit() {
  const database = await LocalDatabase.open(join(stateFolder, 'db'));
  const mirror = await openMirror({
    directory: join(stateFolder, 'mirror'),
    quotaBytes: null,
    bootId: 'boot-0',
    source: chunkSource(repository),
    fence: noWorkers,
    log: silentLog,
  });
  const catalogue = await openCatalogue({
    repository,
    mirror,
    database,
    stateDirectory: stateFolder,
    stateId: 'a'.repeat(32),
    bootId: 'boot-0',
    trees: repository.trees(new LocalNodes(database)),
    known: new LocalPlaces(database),
    fence: noWorkers,
    planes: noFeed,
    readOnly: false,
    fill: 'off',
    profile: 'off',
    log: silentLog,
    onCommitStep: (step) => void dieIf(step),
  });
  const image = await catalogue.find('disk');
  const head = await image.head();
  await head.openForWriting();
  requests = 0;
  await image.commit({});
}

const works = {
  commit,
  import: () =>
    importImage(repository, { source: { kind: 'file', path: join(stateFolder, 'disk.raw') }, image: 'imported' }),
  clone: () => cloneSnapshot(repository, { from: 'disk', number: 1, to: 'clone', writerId: randomId() }),
  delete: () => repository.deleteSnapshot('other', 1),
  collect: () => collectRepository(repository, { graceMs: 3_600_000 }),
};
await works[work]();
process.exit(0);
