/** A chat over `/v1`, streamed: the request, its events, what came of it. */

import { readError } from "../api.js";

/** @typedef {{role: string, content: string}} Message */
/**
 * @typedef {object} Answer
 * @property {string} text
 * @property {string} thinking
 * @property {string} problem
 * @property {[string, string][]} headers those that Nexus added
 * @property {string} id of the request
 * @property {number} tokens
 * @property {number} startedAt milliseconds of this page
 * @property {number} firstAt 0 until the first token
 * @property {number} endedAt 0 until the end
 * @property {boolean} begun a stream is coming: Nexus knows of the request
 * @property {boolean} stopped
 * @property {boolean} needsKey
 */

/** @returns {Answer} */
export function emptyAnswer() {
  return {
    text: "",
    thinking: "",
    problem: "",
    headers: [],
    id: "",
    tokens: 0,
    startedAt: performance.now(),
    firstAt: 0,
    endedAt: 0,
    begun: false,
    stopped: false,
    needsKey: false,
  };
}

/**
 * Ask, and fill the answer while it comes.
 *
 * @param {{model: string, messages: Message[], key: string}} question
 * @param {Answer} answer
 * @param {AbortSignal} signal
 * @param {() => void} grown called whenever there is more
 */
export async function stream(question, answer, signal, grown) {
  try {
    const reply = await post(question, signal);
    answer.headers = [...reply.headers].filter(([name]) => name.startsWith("x-nexus-"));
    answer.begun = reply.ok;
    answer.id = reply.headers.get("x-nexus-request-id") ?? "";
    grown();
    if (!reply.ok || !reply.body) {
      answer.needsKey = reply.status === 401;
      answer.problem = (await readError(reply)).message;
    } else {
      await read(reply.body, (data) => take(answer, data, grown));
    }
  } catch (error) {
    answer.stopped = signal.aborted;
    if (!signal.aborted)
      answer.problem = `The connection broke: ${error instanceof Error ? error.message : error}`;
  }
  answer.endedAt = performance.now();
  grown();
}

/**
 * @param {{model: string, messages: Message[], key: string}} question
 * @param {AbortSignal} signal
 */
function post({ model, messages, key }, signal) {
  /** @type {Record<string, string>} */
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  return fetch("/v1/chat/completions", {
    method: "POST",
    credentials: "omit",
    signal,
    headers,
    body: JSON.stringify({ model, messages, stream: true }),
  });
}

/**
 * @param {ReadableStream<Uint8Array>} body an event stream
 * @param {(data: string) => void} handler called with each event's data
 */
async function read(body, handler) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const events = `${rest}${value ?? ""}`.replaceAll("\r\n", "\n").split("\n\n");
    rest = done ? "" : (events.pop() ?? "");
    for (const event of events) {
      const data = event
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart());
      if (data.length) handler(data.join("\n"));
    }
    if (done) return;
  }
}

/**
 * @param {Answer} answer
 * @param {string} data
 * @param {() => void} grown
 */
function take(answer, data, grown) {
  if (data === "[DONE]") return;
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    answer.problem = "An event of the stream is not JSON.";
    return;
  }
  if (event.error) answer.problem = String(event.error.message ?? event.error);
  const delta = event.choices?.[0]?.delta ?? {};
  const [text, thinking] = [delta.content ?? "", delta.reasoning_content ?? delta.reasoning ?? ""];
  if (text || thinking) {
    answer.firstAt ||= performance.now();
    answer.tokens += 1;
    answer.text += text;
    answer.thinking += thinking;
  }
  if (event.usage?.completion_tokens) answer.tokens = event.usage.completion_tokens;
  grown();
}
