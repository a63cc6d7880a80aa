/** Light, dark, or as the system has it: one button goes around, and the choice is kept. */
import { element } from './dom.js';

type Theme = 'system' | 'light' | 'dark';

const KEY = 'lazydisk-theme';
const NEXT: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' };
const SIGNS: Readonly<Record<Theme, string>> = { system: '\u25d0', light: '\u2600', dark: '\u263e' };

/** Calls back when the colours have changed. */
export function startTheme(onChange: () => void): void {
  const button = element<HTMLButtonElement>('theme');
  let theme = kept();
  const apply = (): void => {
    if (theme === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
    button.textContent = SIGNS[theme];
    button.title = `Colours: ${theme}`;
    button.setAttribute('aria-label', `Colours: ${theme}. Change to ${NEXT[theme]}.`);
    onChange();
  };
  button.addEventListener('click', () => {
    theme = NEXT[theme];
    localStorage.setItem(KEY, theme);
    apply();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', apply);
  apply();
}

function kept(): Theme {
  const value = localStorage.getItem(KEY);
  return value === 'light' || value === 'dark' ? value : 'system';
}
