/** `lazydisk status`: how a mount, or one image of it, is doing. */
import { ControlClient } from '../service/control-client.js';
import { parseImageReference } from './image-reference.js';
import { showLive, type Terminal } from './live-screen.js';
import { formatTime, table } from './output.js';
import { formatSize } from './sizes.js';
import { statusFrame, type Moment } from './status-frame.js';
import { imageText, mountText } from './status-text.js';
import { defineVerb, interruptible, MOUNTPOINT } from './verb.js';
import { requireMount } from './where.js';

/** More often, numbers can't be read. */
const WATCH_INTERVAL_MS = 1000;

export const statusVerb = defineVerb({
  command: 'status <mountpoint> [image]',
  summary: 'Show how a mount, or one image of it, is doing',
  examples: [
    ['status /mnt', 'the whole mount'],
    ['status /mnt vm-01 --json', 'one image, for programs'],
    ['status /mnt --watch', 'what goes on, drawn anew every second until Ctrl-C'],
    ['status /mnt --command 1f2e3d4c-7', 'a command that was begun with --async, or any other'],
  ],
  options: (program) =>
    program
      .positional('mountpoint', MOUNTPOINT)
      .positional('image', { type: 'string', describe: 'image of the mount' })
      .option('command', { type: 'string', describe: 'id of a command: what became of it', conflicts: 'image' })
      .option('watch', {
        type: 'boolean',
        // No default: one would conflict with every image.
        conflicts: ['image', 'command'],
        describe: 'on a terminal: a live table of what is open or written here, without asking the store',
      }),
  run: async ({ mountpoint, image, command, watch }, { output, registry }) => {
    const mount = await requireMount(
      mountpoint,
      registry,
      'status',
      'it tells about a mount; `list` tells about a repository',
    );
    const client = new ControlClient(mount.socket);
    if (watch === true && output.streams.stdout.isTTY === true && !output.json) {
      await watchMount(client, output.streams.stdout);
    } else if (command !== undefined) {
      output.result(await client.command(command), describe);
    } else if (image === undefined) {
      output.result(await client.status(), mountText);
    } else {
      output.result(await client.imageStatus(parseImageReference(image).image), imageText);
    }
  },
});

async function watchMount(client: ControlClient, terminal: Terminal): Promise<void> {
  let before: Moment | undefined;
  await interruptible((signal) =>
    showLive({
      terminal,
      intervalMs: WATCH_INTERVAL_MS,
      signal,
      draw: async (room) => {
        const now = { glance: await client.glance(), atMs: Date.now() };
        const lines = statusFrame(now, before, room);
        before = now;
        return lines;
      },
    }),
  );
}

/** All that is known of a command, one fact a line: sizes and times by the units at the end of their names. */
function describe(status: object): string {
  return table(flatten({ ...status }, ''));
}

function flatten(value: Readonly<Record<string, unknown>>, prefix: string): string[][] {
  return Object.entries(value).flatMap(([name, fact]) => {
    if (Array.isArray(fact)) {
      return fact.flatMap((item: unknown, at) =>
        isRecord(item)
          ? flatten(item, `${prefix}${name}[${String(at)}].`)
          : [[`${prefix}${name}[${String(at)}]`, String(item)]],
      );
    }
    if (isRecord(fact)) return flatten(fact, `${prefix}${name}.`);
    return [[`${prefix}${spoken(name)}`, spokenValue(name, fact)]];
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The unit goes to the value. */
function spoken(name: string): string {
  return name.replace(/(?<=[a-z])Bytes$/, '');
}

function spokenValue(name: string, value: unknown): string {
  if (value === null || value === undefined) return '-';
  if (typeof value === 'number' && name.endsWith('Bytes')) return formatSize(value);
  // Milliseconds since 1970 and durations share a unit; only the former are this large.
  if (typeof value === 'number' && name.endsWith('Ms')) return value > 1e11 ? formatTime(value) : `${String(value)} ms`;
  return String(value as string | number | boolean);
}
