/** What stands in a view before the first event has come. */

import { html } from "../html.js";

export const waiting = () => html`<p class="muted">Waiting for the first report …</p>`;
