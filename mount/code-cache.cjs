// Starts a bundled program from the code that V8 has compiled of it before: a quarter of the time that compiling takes anew.
//
// mount/bundle.js puts this file beside the programs, and behind each entry file (`main.js`) the program itself
// (`main.program.js`) and its cache (`main.cache`): a SHA-256, then what V8 made. The sum covers program and cache, because V8
// itself compares no more than the length of the source. A cache that is missing, damaged, of another program or of another
// version of Node is not used: the start is slower then, and nothing else.
'use strict';
const { createHash } = require('node:crypto');
const { readFileSync, renameSync, writeFileSync } = require('node:fs');
const { wrap } = require('node:module');
const { join } = require('node:path');
const { Script } = require('node:vm');

const SUM_BYTES = 32;

/** Runs the program of that name in this folder. */
exports.run = (name) => {
  const { file, source } = programOf(name);
  start(file, source, readCache(name, source));
};

/** Runs it without a cache, and writes the cache when it ends: with all that it has used till then. */
exports.make = (name) => {
  const { file, source } = programOf(name);
  const script = start(file, source, undefined);
  process.once('exit', () => {
    const data = script.createCachedData();
    const path = join(__dirname, `${name}.cache`);
    writeFileSync(`${path}.new`, Buffer.concat([sumOf(source, data), data]));
    renameSync(`${path}.new`, path);
  });
};

function programOf(name) {
  const file = join(__dirname, `${name}.program.js`);
  return { file, source: readFileSync(file) };
}

/** The source is ASCII (mount/bundle.js sees to it), so that latin1 reads it, and costs a byte for a character. */
function start(file, source, cachedData) {
  const script = new Script(wrap(source.latin1Slice()), { filename: file, cachedData });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, require, module, file, __dirname);
  return script;
}

function readCache(name, source) {
  let bytes;
  try {
    bytes = readFileSync(join(__dirname, `${name}.cache`));
  } catch {
    return undefined;
  }
  const data = bytes.subarray(SUM_BYTES);
  return sumOf(source, data).equals(bytes.subarray(0, SUM_BYTES)) ? data : undefined;
}

function sumOf(source, data) {
  return createHash('sha256').update(source).update(data).digest();
}
