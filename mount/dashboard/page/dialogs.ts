/** The buttons: each says what it would do and asks first; what the daemon answers is shown where it was asked. */
import type { ImageGlance } from '../../../lib/image/views.js';
import type { ActionName } from '../protocol.js';
import { element, setText } from './dom.js';
import { bytes } from './format.js';
import { act } from './session.js';

interface Question {
  readonly title: string;
  readonly text: string;
  readonly confirm: string;
  readonly isDanger?: boolean;
  /** A field to fill in. */
  readonly field?: { readonly label: string; readonly value: string; readonly required: boolean };
  readonly body: (input: string) => Readonly<Record<string, unknown>>;
}

const QUESTIONS: Readonly<Record<ActionName, (glance: ImageGlance) => Question>> = {
  commit: ({ image, dirtyBytes, baseNumber }) => ({
    title: `Commit ${image}?`,
    text:
      dirtyBytes === 0
        ? `Nothing was written since ${baseNumber === null ? 'it was made' : `${image}@${String(baseNumber)}`}: no snapshot will be made unless blocks were discarded.`
        : `${bytes(dirtyBytes)} were written since the last snapshot. They become the next one, for everybody who mounts this repository. A guest may go on writing meanwhile; for a clean file system, freeze it first.`,
    confirm: 'Commit',
    field: { label: 'Label (may be left out)', value: '', required: false },
    body: (label) => (label === '' ? { image } : { image, label }),
  }),
  clone: ({ image, dirtyBytes }) => ({
    title: `Clone ${image}?`,
    text:
      dirtyBytes === 0
        ? 'A new image that begins as this one is. It costs one small object, whatever the size.'
        : `${image} has ${bytes(dirtyBytes)} that are in no snapshot: they are committed first, so that the clone has them.`,
    confirm: 'Clone',
    field: { label: 'Name of the new image', value: '', required: true },
    body: (newImage) => (dirtyBytes === 0 ? { image, newImage } : { image, newImage, commit: true }),
  }),
  hydrate: ({ image, missingBytes }) => ({
    title: `Fetch all of ${image}?`,
    text: `Up to ${bytes(missingBytes)} come to this host in the background; guests go first. Afterwards the image needs the store no more, as long as the cache has room for it.`,
    confirm: 'Hydrate',
    body: () => ({ image }),
  }),
  revert: ({ image, dirtyBytes, baseNumber }) => ({
    title: `Revert ${image}?`,
    text: `${bytes(dirtyBytes)} that were written since ${baseNumber === null ? 'it was made' : `${image}@${String(baseNumber)}`} are thrown away. Nothing brings them back.`,
    confirm: 'Throw the changes away',
    isDanger: true,
    body: () => ({ image }),
  }),
};

/** Why a button can't be used now; undefined: it can. */
function obstacle(action: ActionName, glance: ImageGlance | undefined, readOnly: boolean): string | undefined {
  if (glance === undefined) return 'nothing is known of this image yet';
  if (action === 'hydrate') return hydrationObstacle(glance);
  if (readOnly) return 'this mount is read-only';
  if (glance.committing) return 'a commit runs';
  if (action !== 'revert') return undefined;
  if (glance.openCount > 0) return 'the disk is open: close it first';
  return glance.dirtyBytes === 0 ? 'nothing was written' : undefined;
}

function hydrationObstacle({ hydrating, missingBytes }: ImageGlance): string | undefined {
  if (hydrating !== null) return 'it is being hydrated';
  return missingBytes === 0 ? 'all of it is here' : undefined;
}

export class Dialogs {
  private readonly dialog = element<HTMLDialogElement>('dialog');
  private readonly input = element<HTMLInputElement>('dialog-input');
  private readonly confirm = element<HTMLButtonElement>('dialog-confirm');
  private readonly buttons = [...document.querySelectorAll<HTMLButtonElement>('[data-action]')];
  private glance: ImageGlance | undefined;
  private asked: { action: ActionName; question: Question } | undefined;

  constructor() {
    for (const button of this.buttons) {
      button.addEventListener('click', () => this.open(button.dataset['action'] as ActionName));
    }
    element('dialog-cancel').addEventListener('click', () => this.dialog.close());
    element('dialog-form').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.send();
    });
  }

  show(glance: ImageGlance | undefined, readOnly: boolean): void {
    this.glance = glance;
    for (const button of this.buttons) {
      const reason = obstacle(button.dataset['action'] as ActionName, glance, readOnly);
      button.disabled = reason !== undefined;
      button.title = reason ?? '';
    }
  }

  private open(action: ActionName): void {
    if (this.glance === undefined) return;
    const question = QUESTIONS[action](this.glance);
    const { title, text, confirm, field, isDanger } = question;
    this.asked = { action, question };
    setText(element('dialog-title'), title);
    setText(element('dialog-text'), text);
    setText(element('dialog-problem'), '');
    setText(this.confirm, confirm);
    this.confirm.disabled = false;
    this.confirm.classList.toggle('danger', isDanger === true);
    element('dialog-field').hidden = field === undefined;
    setText(element('dialog-label'), field?.label ?? '');
    this.input.value = field?.value ?? '';
    this.input.required = field?.required ?? false;
    this.dialog.showModal();
    // What can't be undone is not one Enter away.
    if (isDanger === true) element('dialog-cancel').focus();
    else if (field !== undefined) this.input.focus();
  }

  private async send(): Promise<void> {
    if (this.asked === undefined) return;
    const { action, question } = this.asked;
    this.confirm.disabled = true;
    try {
      await act(action, question.body(this.input.value.trim()));
      this.dialog.close();
    } catch (error) {
      setText(element('dialog-problem'), error instanceof Error ? error.message : String(error));
    } finally {
      this.confirm.disabled = false;
    }
  }
}
