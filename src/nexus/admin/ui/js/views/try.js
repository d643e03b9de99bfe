/** Try it: a small chat, with what Nexus said of it and why beside the answer. */

import { announce } from "../announce.js";
import { ask, segment } from "../api.js";
import { decimal, duration, plural } from "../format.js";
import { html, live, nothing } from "../html.js";
import { onEvent } from "../live.js";
import { attemptsTable } from "../parts/explanation.js";
import { link, replace, route } from "../route.js";
import { changed, state } from "../store.js";
import { decisions } from "./request-detail.js";
import { emptyAnswer, stream } from "./try-stream.js";

/** @typedef {import("./try-stream.js").Answer} Answer */

/** @type {{question: string, answer: Answer}[]} */
let turns = [];
/** @type {AbortController|null} */
let running = null;
/** @type {import("../types.js").Detail|null} */
let explained = null;
let system = "";
let key = "";
let keyWanted = false;

export function tryView() {
  const models = (state.models?.models ?? []).map((model) => model.id);
  const picked = route.query.get("model") ?? state.models?.routing.default_model ?? firstChat();
  return html`<div class="head">
      <h1 tabindex="-1">Try it</h1>
      <div class="end">
        ${turns.length && !running ? html`<button class="button" @click=${clear}>New chat</button>` : nothing}
      </div>
    </div>
    ${
      state.models && !models.length
        ? noModel()
        : html`<div class="try">
            <div class="talk">${turns.map(turnView)} ${form(models, picked)}</div>
            <aside class="aside" aria-label="What Nexus did">${beside()}</aside>
          </div>`
    }`;
}

/** @returns {string} a model that is there and is not known to be unable to chat */
function firstChat() {
  const models = state.models?.models ?? [];
  const good = models.find(
    (model) => model.available && model.capabilities.chat !== false && model.capabilities.embeddings !== true,
  );
  return (good ?? models[0])?.id ?? "";
}

function noModel() {
  return html`<section class="panel empty">
    <h2>No model to talk to</h2>
    <p>There is no backend with a model yet.</p>
    <a class="button" href=${link("fleet")}>See the fleet</a>
  </section>`;
}

/**
 * @param {string[]} models
 * @param {string} model the one that is picked
 */
function form(models, model) {
  const all = model && !models.includes(model) ? [model, ...models] : models;
  return html`<form class="panel fields" @submit=${submit}>
    <div class="field">
      <label for="try-model">Model</label>
      <select id="try-model" name="model" @change=${picked}>
        ${all.map((id) => html`<option value=${id} .selected=${live(id === model)}>${id}${note(id)}</option>`)}
      </select>
    </div>
    <div class="field">
      <label for="try-prompt">Prompt</label>
      <textarea
        id="try-prompt"
        name="prompt"
        rows="3"
        required
        aria-describedby="try-hint"
        @keydown=${keydown}
      ></textarea>
      <p class="hint" id="try-hint">Enter sends, Shift and Enter begins a new line.</p>
    </div>
    ${keyWanted ? keyField() : nothing} ${more()}
    <div class="buttons">
      ${
        running
          ? html`<button type="button" class="button danger" @click=${() => running?.abort()}>Stop</button>`
          : html`<button class="button primary">Send</button>`
      }
    </div>
  </form>`;
}

/** What few need. */
function more() {
  return html`<details>
    <summary>System prompt${keyWanted ? "" : ", client key"}</summary>
    <div class="fields">
      <div class="field">
        <label for="try-system">System prompt</label>
        <textarea
          id="try-system"
          rows="2"
          .value=${live(system)}
          @input=${(/** @type {Event} */ event) => (system = valueOf(event))}
        ></textarea>
      </div>
      ${keyWanted ? nothing : keyField()}
    </div>
  </details>`;
}

/** @param {Event} event */
const valueOf = (event) =>
  /** @type {HTMLInputElement|HTMLTextAreaElement|HTMLSelectElement} */ (event.target).value;

/** @param {Event} event */
const picked = (event) => replace(link("try", "", { model: valueOf(event) }));

function keyField() {
  return html`<div class="field">
    <label for="try-key">Client key</label>
    <input
      id="try-key"
      type="password"
      autocomplete="off"
      .value=${live(key)}
      aria-describedby="try-key-hint"
      @input=${(/** @type {Event} */ event) => (key = valueOf(event))}
    />
    <p class="hint" id="try-key-hint">
      Only where Nexus asks its clients for keys. Kept until this page is left, and nowhere else.
    </p>
  </div>`;
}

/** @param {string} id */
function note(id) {
  const model = state.models?.models.find((one) => one.id === id);
  if (!model) return " (unknown)";
  if (model.alias_of) return ` → ${model.alias_of}`;
  return model.available ? "" : " (not available)";
}

/** @param {KeyboardEvent} event */
function keydown(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  /** @type {HTMLTextAreaElement} */ (event.target).form?.requestSubmit();
}

/** @param {SubmitEvent} event */
async function submit(event) {
  event.preventDefault();
  if (running) return;
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  const prompt = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("prompt"));
  const model = /** @type {HTMLSelectElement} */ (form.elements.namedItem("model")).value;
  const question = prompt.value;
  prompt.value = "";
  await talk(model, question);
  prompt.focus();
}

/**
 * @param {string} model
 * @param {string} question
 */
async function talk(model, question) {
  const before = turns
    .filter(({ answer }) => answer.text)
    .flatMap(({ question: asked, answer }) => [
      { role: "user", content: asked },
      { role: "assistant", content: answer.text },
    ]);
  const messages = [
    ...(system.trim() ? [{ role: "system", content: system }] : []),
    ...before,
    { role: "user", content: question },
  ];
  const answer = emptyAnswer();
  turns = [...turns, { question, answer }];
  running = new AbortController();
  explained = null;
  let asked = false;
  await stream({ model, messages, key }, answer, running.signal, () => {
    if (answer.begun && !asked) void explain(answer.id);
    asked = answer.begun;
    changed();
  });
  running = null;
  keyWanted ||= answer.needsKey;
  announce(
    answer.problem ? `It failed: ${answer.problem}` : answer.stopped ? "Stopped." : "The answer is complete.",
  );
  changed();
}

/** @param {string} id */
async function explain(id) {
  try {
    const detail = await ask("GET", `/admin/requests/${segment(id)}`);
    if (turns.at(-1)?.answer.id === id) explained = detail;
  } catch {
    // It is kept no more: the answer stands without its explanation.
  }
  changed();
}

// A request that ended has its whole explanation; one that was refused at the door has none, and no event.
onEvent("requests", ({ data }) => {
  const id = turns.at(-1)?.answer.id;
  if (id && data.some((/** @type {{id: string}} */ row) => row.id === id)) void explain(id);
});

function clear() {
  turns = [];
  explained = null;
  changed();
}

/** @param {{question: string, answer: Answer}} turn */
function turnView({ question, answer }) {
  const model = answer.headers.find(([name]) => name === "x-nexus-backend")?.[1] ?? "Answer";
  return html`<article class="turn mine">
      <h2>You</h2>
      <div class="text">${question}</div>
    </article>
    <article class="turn" data-answer>
      <h2>${model}</h2>
      ${answer.thinking ? html`<div class="thinking">${answer.thinking}</div>` : nothing}
      <div class="text">${answer.text || waiting(answer)}</div>
      ${answer.problem ? html`<p class="error-text">${answer.problem}</p>` : nothing}
      ${answer.stopped ? html`<p class="muted">Stopped.</p>` : nothing}
      <p class="facts">${speed(answer)}</p>
    </article>`;
}

/** @param {Answer} answer one without text */
function waiting(answer) {
  if (answer.endedAt || answer.thinking) return nothing;
  return html`<span class="muted">Waiting for the first token …</span>`;
}

/** @param {Answer} answer */
function speed(answer) {
  if (!answer.firstAt) return "";
  const seconds = ((answer.endedAt || performance.now()) - answer.firstAt) / 1000;
  const rate = answer.tokens > 1 && seconds > 0.05 ? `, ${decimal(answer.tokens / seconds)} a second` : "";
  return `First token after ${duration((answer.firstAt - answer.startedAt) / 1000)}, ${plural(answer.tokens, "token")}${rate}`;
}

function beside() {
  const answer = turns.at(-1)?.answer;
  if (!answer)
    return html`<section class="panel">
      <h2>What Nexus did</h2>
      <p class="muted">Send a prompt: who answered, and why, appears here.</p>
    </section>`;
  return html`<section class="panel">
      <h2>Headers</h2>
      ${
        answer.headers.length
          ? html`<dl class="pairs small">
              ${answer.headers.map(
                ([name, value]) =>
                  html`<dt class="mono">${name}</dt>
                    <dd class="mono">${value}</dd>`,
              )}
            </dl>`
          : html`<p class="muted">None yet.</p>`
      }
    </section>
    <section class="panel">
      <h2>Why there?</h2>
      ${
        explained
          ? html`${decisions(explained)}
              ${explained.tries.length > 1 ? attemptsTable(explained.tries) : nothing}
              <p><a href=${link("requests", explained.id)}>All about this request</a></p>`
          : html`<p class="muted">Nothing is known yet.</p>`
      }
    </section>`;
}
