/** Debian's Chromium for tests of the page: one a test file, ended after it. It talks to this host alone. */
import { afterAll } from '@jest/globals';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Of each wait: for what hangs. */
const LIMIT_MS = 120_000;

let browser: Promise<Browser> | undefined;

afterAll(async () => {
  await (await browser)?.close();
});

/** What a page did that nobody may see it do. */
export interface Watched {
  readonly page: Page;
  /** Addresses that it asked. */
  readonly asked: readonly string[];
  /** Errors that it threw or that its console shows. */
  readonly errors: readonly string[];
}

/** A tab of its own, with nothing of other tabs. */
export async function openPage(options: BrowserContextOptions = {}): Promise<Watched> {
  browser ??= chromium.launch({
    executablePath: process.env['LAZYDISK_TEST_BROWSER'] ?? '/usr/bin/chromium',
    args: FLAGS,
    timeout: LIMIT_MS,
  });
  const context = await (await browser).newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(LIMIT_MS);
  const page = await context.newPage();
  const asked: string[] = [];
  const errors: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  return { page, asked, errors };
}
