/** What the map shows: one of three, chosen as radio buttons are, with arrow keys too. */
import type { Lens } from './map-model.js';

const STEPS: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** Calls back when another one is chosen. */
export function startLens(onChoose: (lens: Lens) => void): void {
  const buttons = [...document.querySelectorAll<HTMLButtonElement>('[data-lens]')];
  const mark = (chosen: HTMLButtonElement): void => {
    for (const button of buttons) {
      button.setAttribute('aria-checked', String(button === chosen));
      button.tabIndex = button === chosen ? 0 : -1;
    }
  };
  const choose = (button: HTMLButtonElement): void => {
    mark(button);
    onChoose(button.dataset['lens'] as Lens);
  };
  for (const [index, button] of buttons.entries()) {
    button.addEventListener('click', () => choose(button));
    button.addEventListener('keydown', (event) => {
      const next = Object.hasOwn(STEPS, event.key)
        ? buttons.at((index + STEPS[event.key]!) % buttons.length)
        : undefined;
      if (next === undefined) return;
      event.preventDefault();
      choose(next);
      next.focus();
    });
  }
  mark(buttons[0]!);
}
