/** Elements of the page, and making them. Text is always text: nothing that comes from a repository is read as markup. */

/** The element that index.html has under this id. */
export function element<T extends Element = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no ${id}.`);
  return found as unknown as T;
}

/** A new element with attributes and children. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A square in a colour of the style sheet. */
export function colored<Name extends 'i' | 'span'>(
  name: Name,
  color: string,
  className = '',
): HTMLElementTagNameMap[Name] {
  const made = make(name, className === '' ? {} : { class: className });
  made.style.background = `var(--${color})`;
  return made;
}

/** Sets the text if it is another: a screen reader need not say again what has not changed. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}
