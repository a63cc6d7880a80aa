/** What the supervisor of a mount runs; `lazydisk mount` starts it (mount/service/launch.ts). */
import { fileURLToPath } from 'node:url';
import { supervise } from '../service/supervisor.js';

supervise(fileURLToPath(new URL('./daemon-main.js', import.meta.url)));
