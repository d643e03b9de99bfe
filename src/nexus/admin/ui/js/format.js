/** Numbers and times as people read them; unknown is a dash. */

export const UNKNOWN = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hour12: false,
});
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** @param {number|null|undefined} value */
export function count(value) {
  return value == null ? UNKNOWN : whole.format(value);
}

/** @param {number|null|undefined} value something a second, or points */
export function decimal(value) {
  if (value == null) return UNKNOWN;
  return value === 0 || Math.abs(value) >= 99.95 ? whole.format(value) : tenth.format(value);
}

/** @param {number|null|undefined} part between 0 and 1 */
export function percent(part) {
  if (part == null) return UNKNOWN;
  const value = part * 100;
  return `${value === 0 || value >= 9.95 ? whole.format(value) : tenth.format(value)} %`;
}

/** @param {number|null|undefined} seconds a duration, from microseconds to days */
export function duration(seconds) {
  if (seconds == null) return UNKNOWN;
  if (seconds === 0) return "0 s";
  if (seconds < 0.0009995) return `${whole.format(seconds * 1e6)} µs`;
  if (seconds < 0.00995) return `${tenth.format(seconds * 1e3)} ms`;
  if (seconds < 0.9995) return `${whole.format(seconds * 1e3)} ms`;
  if (seconds < 59.95) return `${tenth.format(seconds)} s`;
  return long(seconds);
}

/** @param {number} seconds a duration that ticks: whole seconds */
export function elapsed(seconds) {
  const value = Math.max(0, Math.floor(seconds));
  return value < 60 ? `${value} s` : long(value);
}

/** @param {number} seconds */
function long(seconds) {
  const value = Math.round(seconds);
  const [days, hours] = [Math.floor(value / 86400), Math.floor(value / 3600) % 24];
  const [minutes, rest] = [Math.floor(value / 60) % 60, value % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
}

/** @param {number} at Unix seconds; today's time of day, with the date when it was another day */
export function clock(at) {
  const moment = new Date(at * 1000);
  const text = time.format(moment);
  return moment.toDateString() === new Date().toDateString() ? text : `${date.format(moment)}, ${text}`;
}

/**
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** @param {string} code a code such as `first_byte_timeout` */
export function words(code) {
  return code.replaceAll("_", " ").replaceAll("-", " ");
}
