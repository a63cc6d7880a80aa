/**
 * The token, and asking the daemon with it. It comes behind the # of the address, leaves the address at once, and is kept for as
 * long as the tab lives: no cookie, so that nothing of it travels by itself.
 */
import type { ActionAnswer, ActionName, ErrorMessage } from '../protocol.js';

const KEY = 'lazydisk-token';

/** The daemon does not take the token. */
export class NotAllowed extends Error {}

export function takeToken(): string | null {
  const given = /^#token=([\w-]+)$/.exec(location.hash)?.[1];
  if (given === undefined) return sessionStorage.getItem(KEY);
  keepToken(given);
  history.replaceState(null, '', location.pathname);
  return given;
}

export function keepToken(token: string): void {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken(): void {
  sessionStorage.removeItem(KEY);
}

/** Rejects with what the daemon says, NotAllowed for a wrong token. */
export async function ask(path: string, options: RequestInit = {}): Promise<Response> {
  const headers = {
    ...(options.headers as Record<string, string> | undefined),
    authorization: `Bearer ${takeToken() ?? ''}`,
  };
  const response = await fetch(path, { ...options, headers, credentials: 'omit', cache: 'no-store' });
  if (response.status === 401) throw new NotAllowed('This is not the token of this mount.');
  if (!response.ok) throw new Error(await reasonOf(response));
  return response;
}

export async function act(name: ActionName, body: Readonly<Record<string, unknown>>): Promise<ActionAnswer> {
  const headers = { 'content-type': 'application/json' };
  const response = await ask(`/api/${name}`, { method: 'POST', headers, body: JSON.stringify(body) });
  return (await response.json()) as ActionAnswer;
}

async function reasonOf(response: Response): Promise<string> {
  try {
    return ((await response.json()) as ErrorMessage).error.message;
  } catch {
    return `The daemon answered ${String(response.status)}.`;
  }
}
