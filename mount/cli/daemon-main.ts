/** What the process of a daemon in the background runs; `lazydisk mount` starts it (mount/service/launch.ts). */
import { runDaemonProcess } from '../service/daemon-process.js';
import { Registry } from '../service/registry.js';
import { openMountFromSettings } from './stack.js';

void runDaemonProcess((settings) =>
  openMountFromSettings(settings, Registry.forUser(process.getuid?.() ?? -1), { environment: process.env }),
);
