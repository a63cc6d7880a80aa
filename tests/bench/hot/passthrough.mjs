// passthrough.mjs FOLDER MOUNTPOINT: shows the files of a folder through fuse-native, as its documentation would have one do.
import Fuse from 'fuse-native';
import fs from 'node:fs';
import { join } from 'node:path';

const [folder, mountpoint] = process.argv.slice(2);
const at = (path) => join(folder, path);
const answer = (reply) => (error, value) => reply(error ? error.errno : 0, value);

const fuse = new Fuse(
  mountpoint,
  {
    readdir: (path, reply) => fs.readdir(at(path), answer(reply)),
    getattr: (path, reply) => fs.stat(at(path), answer(reply)),
    open: (path, flags, reply) => fs.open(at(path), 'r+', answer(reply)),
    release: (path, descriptor, reply) => fs.close(descriptor, answer(reply)),
    fsync: (path, datasync, descriptor, reply) => fs.fdatasync(descriptor, answer(reply)),
    read(path, descriptor, buffer, lengthBytes, offset, reply) {
      reply(fs.readSync(descriptor, buffer, 0, lengthBytes, offset));
    },
    write(path, descriptor, buffer, lengthBytes, offset, reply) {
      reply(fs.writeSync(descriptor, buffer, 0, lengthBytes, offset));
    },
  },
  // Its default gives an operation up after 15 s.
  { timeout: false, force: true },
);

fuse.mount((error) => {
  if (error) throw error;
  process.stdout.write('mounted\n');
});
process.once('SIGTERM', () => fuse.unmount(() => process.exit(0)));
