/**
 * The files of the page, and the headers under which a browser runs them: nothing from elsewhere is loaded, nothing is sent
 * elsewhere, no other page may frame it or reach its window. They are the same for everybody and tell nothing.
 */
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where `make build` puts them: beside the programs. */
export const PAGE_FOLDER = fileURLToPath(new URL('./dashboard/', import.meta.url));

const FILES: Readonly<Record<string, { readonly name: string; readonly type: string }>> = {
  '/': { name: 'index.html', type: 'text/html; charset=utf-8' },
  '/style.css': { name: 'style.css', type: 'text/css; charset=utf-8' },
  '/app.js': { name: 'app.js', type: 'text/javascript; charset=utf-8' },
  '/icon.svg': { name: 'icon.svg', type: 'image/svg+xml' },
};

/** For every answer of the dashboard. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'cache-control': 'no-store',
};

/** Answers with the file of the path; false when there is none. */
export async function sendPageFile(path: string, response: ServerResponse, folder: string): Promise<boolean> {
  const file = Object.hasOwn(FILES, path) ? FILES[path] : undefined;
  if (file === undefined) return false;
  const bytes = await readFile(join(folder, file.name));
  response.writeHead(200, { ...SECURITY_HEADERS, 'content-type': file.type, 'content-length': bytes.length });
  response.end(bytes);
  return true;
}
