/** What the entry file of the command runs before the command itself (mount/bundle.js). */
import { fileURLToPath } from 'node:url';
import { startEarly } from '../service/early-start.js';

startEarly(process.argv.slice(2), process.env, fileURLToPath(new URL('./supervisor-main.js', import.meta.url)));
