/** The dashboard of a real mount in a real browser: it shows what happens, and its buttons ask and do. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { accessibilityOf } from '../helpers/accessibility.js';
import { openPage, type Watched } from '../helpers/browser.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { supports } from '../helpers/driver.js';
import { MIB, repositoryWithImage } from '../helpers/images.js';
import { mountRepository, type MountedTest } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { lazydisk, lazydiskJson } from '../helpers/program.js';
import { waitFor } from '../helpers/waiting.js';

/** Whole page, as it travels. */
const MOST_PAGE_BYTES = 200 * 1024;

// S101
describe('the dashboard', () => {
  cleanUpAfter('all');

  let mounted: MountedTest;
  let name: string;
  let url: string;
  let watched: Watched;
  let page: Page;

  beforeAll(async () => {
    const image = await repositoryWithImage();
    name = image.name;
    mounted = await mountRepository({ repository: image.repository, options: ['--dashboard', '127.0.0.1:0'] });
    ({ url } = (await lazydiskJson(['dashboard', mounted.mountpoint], { env: image.repository.env })) as {
      url: string;
    });
    watched = await openPage({ colorScheme: 'light' });
    page = watched.page;
    await page.goto(url);
    await page.getByRole('heading', { level: 1, name }).waitFor();
    await untilLegend('in the store', /MiB/);
  });

  afterAll(() => {
    // Answers that are no success, and a daemon that is killed, are what tests ask for.
    expect(watched.errors.filter((error) => !error.startsWith('Failed to load resource'))).toEqual([]);
  });

  /** What the legend says of a state. */
  const untilLegend = (state: string, amount: RegExp): Promise<void> =>
    page.locator('#legend div', { hasText: state }).locator('dd').filter({ hasText: amount }).waitFor();

  /** The colour of a cell of the map's first row. Text, as all that runs in the browser here: these tests know no DOM. */
  const colorOf = (cell: number): Promise<string> =>
    page.evaluate(`{
      const canvas = document.querySelector('canvas');
      const gutter = 62;
      const x = gutter + ${String(cell + 0.5)} * ((canvas.clientWidth - gutter) / 128);
      canvas.getContext('2d').getImageData(x * devicePixelRatio, 2, 1, 1).data.join();
    }`);

  test('the whole page is small, comes from the mount alone, and keeps the token out of its address', async () => {
    const { origin } = new URL(url);
    expect(watched.asked.length).toBeGreaterThan(3);
    expect(watched.asked.filter((address) => !address.startsWith(`${origin}/`))).toEqual([]);
    expect(watched.asked.join()).not.toContain('token');
    expect(page.url()).not.toContain('token');
    const files = ['/', '/style.css', '/app.js', '/icon.svg'];
    const sizes = await Promise.all(
      files.map(async (file) => (await (await fetch(origin + file)).arrayBuffer()).byteLength),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(MOST_PAGE_BYTES);
  });

  test('the picture changes when a chunk is read', async () => {
    const before = await colorOf(0);
    await readRange(mounted.path(name), 0, 4096);
    await untilLegend('on this host', /KiB|MiB/);
    await waitFor('the cell has another colour', async () => (await colorOf(0)) !== before);
  });

  test('the order of first reads is a map of its own', async () => {
    const before = await colorOf(0);
    await page.getByRole('radio', { name: 'First reads' }).click();
    await page
      .locator('#legend')
      .getByText(/[1-9]\d* chunks?, /)
      .waitFor();
    await waitFor('the cell has the colour of the first', async () => (await colorOf(0)) !== before);
    await page.keyboard.press('ArrowLeft');
    expect(await page.getByRole('radio', { name: 'State' }).getAttribute('aria-checked')).toBe('true');
  });

  test('arrow keys go through the map and each cell is told in words', async () => {
    await page.getByRole('img', { name: `Map of ${name}` }).focus();
    await page.keyboard.press('ArrowRight');
    await page
      .locator('#readout')
      .getByText(/^chunk 1, .*: /)
      .waitFor();
    await page.keyboard.press('Home');
    await page
      .locator('#readout')
      .getByText(/^chunk 0, 0 B to .*: on this host$/)
      .waitFor();
  });

  test('a commit is started by its button, which asks first', async () => {
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 7 0 64k', mounted.path(name)]);
    await untilLegend('written, not committed', /KiB/);
    const commit = page.getByRole('button', { name: 'Commit…' });
    await commit.click();
    await page.getByRole('heading', { name: `Commit ${name}?` }).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    expect(existsSync(mounted.path(name, '2.raw'))).toBe(false);
    await commit.click();
    await page.getByLabel(/Label/).fill('from the page');
    await page.getByRole('button', { name: 'Commit', exact: true }).click();
    await page.locator('#activity li[data-end=ok]', { hasText: `${name}@2` }).waitFor();
    expect(existsSync(mounted.path(name, '2.raw'))).toBe(true);
    await untilLegend('written, not committed', /^–$/);
  });

  test('a clone made by its button appears in the list, and can be looked at', async () => {
    await page.getByRole('button', { name: 'Clone…' }).click();
    await page.getByLabel('Name of the new image').fill('twin');
    await page.getByRole('button', { name: 'Clone', exact: true }).click();
    await page.getByRole('navigation').getByRole('button', { name: /^twin/ }).click();
    await page.getByRole('heading', { level: 1, name: 'twin' }).waitFor();
    await page
      .getByRole('navigation')
      .getByRole('button', { name: new RegExp(`^${name}`) })
      .click();
  });

  test('what the daemon refuses is said where it was asked', async () => {
    await page.getByRole('button', { name: 'Clone…' }).click();
    await page.getByLabel('Name of the new image').fill('no/name');
    await page.getByRole('button', { name: 'Clone', exact: true }).click();
    await page
      .getByRole('alert')
      .getByText(/can't be the name of an image/)
      .waitFor();
    await page.keyboard.press('Escape');
  });

  test('a revert is offered while there is something to throw away, and throws it away', async () => {
    const revert = page.getByRole('button', { name: 'Revert…' });
    expect(await revert.isDisabled()).toBe(true);
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 9 0 64k', mounted.path(name)]);
    await untilLegend('written, not committed', /KiB/);
    await revert.click();
    await page.getByText('Nothing brings them back').waitFor();
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Cancel');
    await page.getByRole('button', { name: 'Throw the changes away' }).click();
    await untilLegend('written, not committed', /^–$/);
    expect((await readRange(mounted.path(name), 0, 1))[0]).toBe(7);
  });

  test('without a token, or with a wrong one, the page asks for it and shows nothing', async () => {
    const { page: stranger } = await openPage();
    await stranger.goto(new URL(url).origin);
    await stranger.getByRole('heading', { name: 'This page needs its token' }).waitFor();
    await stranger.getByLabel('Token').fill('wrong');
    await stranger.getByRole('button', { name: 'Open the dashboard' }).click();
    await stranger.getByText('This is not the token of this mount.').waitFor();
    expect(await stranger.getByText(name).count()).toBe(0);
    await stranger.context().close();
  });

  test('dark is another page of the same contrast', async () => {
    const { page: dark } = await openPage({ colorScheme: 'dark' });
    await dark.goto(url);
    await dark.getByRole('heading', { level: 1, name }).waitFor();
    const groundOf = (one: Page): Promise<string> => one.evaluate('getComputedStyle(document.body).backgroundColor');
    expect([await groundOf(page), await groundOf(dark)]).toEqual(['rgb(244, 246, 248)', 'rgb(13, 17, 23)']);
    await dark.context().close();
  });

  test.each(['light', 'dark'] as const)(
    'axe-core finds nothing to object to in any view of the %s page',
    async (theme) => {
      const { page: looked } = await openPage({ colorScheme: theme });
      const faults: Record<string, readonly string[]> = {};
      const look = async (view: string): Promise<void> => {
        const found = await accessibilityOf(looked);
        expect(found.keptRules).toBeGreaterThan(10);
        faults[view] = found.faults;
      };
      await looked.goto(new URL(url).origin);
      await looked.getByRole('heading', { name: 'This page needs its token' }).waitFor();
      await look('the question for the token');
      await looked.goto(url);
      await looked.getByRole('heading', { level: 1, name }).waitFor();
      await looked.locator('#activity li').first().waitFor();
      await look('an image');
      await looked.getByRole('radio', { name: 'First reads' }).click();
      await look('first reads');
      await looked.getByRole('button', { name: 'Clone…' }).click();
      await looked.getByLabel('Name of the new image').waitFor();
      await look('a question');
      expect(faults).toEqual({ 'the question for the token': [], 'an image': [], 'first reads': [], 'a question': [] });
      await looked.evaluate("document.querySelector('dialog').append(document.createElement('button'))");
      expect((await accessibilityOf(looked)).faults).toContainEqual(expect.stringMatching(/^button-name: /));
      await looked.context().close();
    },
  );

  if (supports('taking over')) {
    test('an open page goes on when another daemon takes over', async () => {
      await mounted.killDaemon();
      await readRange(mounted.path(name), MIB, 4096);
      await page.getByText('The daemon does not answer').waitFor({ state: 'hidden' });
      await must('qemu-io', ['-f', 'raw', '-c', 'write -P 5 0 64k', mounted.path(name)]);
      await untilLegend('written, not committed', /KiB/);
    });
  }

  test('a mount whose output is no terminal does not print the token', async () => {
    const image = await repositoryWithImage();
    const other = await mountRepository({ repository: image.repository });
    await other.unmount();
    const words = ['mount', image.repository.url, other.mountpoint, '--state', other.stateDirectory];
    const { stderr } = await lazydisk([...words, '--dashboard', '127.0.0.1:0'], { env: image.repository.env });
    expect(stderr).toContain(`\`lazydisk dashboard ${other.mountpoint}\` prints the address with its token`);
    expect(stderr).not.toContain('token=');
    await lazydisk(['unmount', other.mountpoint], { env: image.repository.env });
  });

  test('a mount without it has no address to print, and says how to get one', async () => {
    const image = await repositoryWithImage();
    const plain = await mountRepository({ repository: image.repository });
    const { status, stderr } = await lazydisk(['dashboard', plain.mountpoint], { env: image.repository.env });
    expect(status).not.toBe(0);
    expect(stderr).toContain('mount with --dashboard 127.0.0.1:8090');
  });
});
