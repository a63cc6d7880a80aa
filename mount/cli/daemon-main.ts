/** What the process of a daemon in the background runs; its supervisor starts it (mount/service/supervisor.ts). */
import { runDaemonProcess } from '../service/daemon-process.js';
import { Registry } from '../service/registry.js';
import { openMountFromSettings } from './stack.js';

void runDaemonProcess((settings, supervised) =>
  openMountFromSettings(settings, Registry.forUser(process.getuid?.() ?? -1), {
    environment: process.env,
    supervised,
  }),
);
