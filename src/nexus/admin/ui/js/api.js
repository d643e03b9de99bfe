/** Asking the administration: JSON both ways, and one kind of error. */

/** An answer that is a refusal, or none at all (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   * @param {string} [param] the field that was refused
   */
  constructor(message, status, param = "") {
    super(message);
    this.status = status;
    this.param = param;
  }
}

/** @type {() => void} */
let refused = () => {};

/** @param {() => void} handler called when the session is no longer good */
export function onRefused(handler) {
  refused = handler;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body] sent as JSON
 * @returns {Promise<any>} the decoded answer; `null` for an empty one
 */
export async function ask(method, path, body) {
  const reply = await send(method, path, body);
  if (reply.ok) return reply.status === 204 ? null : reply.json();
  const error = await readError(reply);
  if ((reply.status === 401 || reply.status === 403) && path !== "/admin/session") refused();
  throw error;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} body
 */
async function send(method, path, body) {
  /** @type {RequestInit} */
  const options = { method, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  try {
    return await fetch(path, options);
  } catch {
    throw new ApiError("Nexus does not answer. It may have ended, or the network is down.", 0);
  }
}

/**
 * @param {Response} reply a refusal
 * @returns {Promise<ApiError>}
 */
export async function readError(reply) {
  try {
    const { error } = await reply.json();
    return new ApiError(String(error.message), reply.status, error.param ?? "");
  } catch {
    return new ApiError(`Nexus answered ${reply.status}.`, reply.status);
  }
}

/** @param {string} name an id or a name, as part of a path */
export const segment = (name) => encodeURIComponent(name);
