/** The one modal dialog; the browser keeps the focus inside and gives it back. */

import { html, nothing, render } from "./html.js";

/** @returns {HTMLDialogElement} */
const element = () => /** @type {HTMLDialogElement} */ (document.getElementById("dialog"));

/** @type {(() => unknown)|null} */
let content = null;
let closed = () => {};

/** Draw the content anew, if the dialog is open. */
export function drawDialog() {
  if (content) render(content(), element());
}

/**
 * @param {() => unknown} template drawn with the page; its heading has the id `dialog-title`
 * @returns {Promise<string>} what it was closed with; empty when it was dismissed
 */
export function openDialog(template) {
  const dialog = element();
  content = template;
  drawDialog();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    closed = () => {
      content = null;
      render(nothing, dialog);
      resolve(dialog.returnValue);
    };
    dialog.addEventListener("close", closed, { once: true });
  });
}

/** @param {string} [value] what the opener is told */
export function closeDialog(value = "") {
  if (element().open) element().close(value);
}

/**
 * @param {string} title
 * @param {string} text
 * @param {string} action the button's word
 * @returns {Promise<boolean>}
 */
export async function confirm(title, text, action) {
  const answer = await openDialog(
    () =>
      html` <h2 id="dialog-title">${title}</h2>
        <p>${text}</p>
        <div class="buttons">
          <button class="button danger" @click=${() => closeDialog("yes")}>${action}</button>
          <button class="button" autofocus @click=${() => closeDialog()}>Keep it</button>
        </div>`,
  );
  return answer === "yes";
}
