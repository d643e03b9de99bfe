/** From ten-second buckets to lines: by backend or by model, over the last hour. Pure. */

/** @typedef {import("../types.js").Bucket} Bucket */
/** @typedef {import("../types.js").TrafficRow} TrafficRow */
/** @typedef {{name: string, values: (number|null)[], total: Sum}} Line */
/** @typedef {{requests: number, errors: number, tokens: number, firstByteSum: number, firstByteCount: number}} Sum */
/** @typedef {{id: string, title: string, unit: string, value: (sum: Sum, seconds: number) => number|null}} Figure */

export const MOST_LINES = 8;
const BUCKETS = 360;
/** Requests that nobody answered, and names that nobody has. */
const NOBODY = { backend: "no backend", model: "unknown model" };
const OTHERS = "all others";

/** @type {Figure[]} */
export const FIGURES = [
  { id: "requests", title: "Requests", unit: "a second", value: (sum, seconds) => sum.requests / seconds },
  { id: "tokens", title: "Tokens", unit: "a second", value: (sum, seconds) => sum.tokens / seconds },
  {
    id: "first-byte",
    title: "Time to first byte",
    unit: "seconds, mean",
    value: (sum) => (sum.firstByteCount ? sum.firstByteSum / sum.firstByteCount : null),
  },
  {
    id: "errors",
    title: "Error rate",
    unit: "percent of requests",
    value: (sum) => (sum.requests ? (100 * sum.errors) / sum.requests : null),
  },
];

/** @returns {Sum} */
const zero = () => ({ requests: 0, errors: 0, tokens: 0, firstByteSum: 0, firstByteCount: 0 });

/**
 * @param {Sum} sum
 * @param {TrafficRow} row
 */
function add(sum, row) {
  sum.requests += row.requests;
  sum.errors += row.errors;
  sum.tokens += row.completion_tokens;
  sum.firstByteSum += row.first_byte_sum;
  sum.firstByteCount += row.first_byte_count;
}

/**
 * Keep one more bucket, and no more than an hour.
 *
 * @param {Bucket[]} buckets
 * @param {Bucket} bucket
 */
export function append(buckets, bucket) {
  return [...buckets.filter((one) => one.at !== bucket.at), bucket].slice(-BUCKETS);
}

/**
 * @param {Bucket[]} buckets oldest first
 * @param {"backend"|"model"} by
 * @returns {string[]} the busiest names first
 */
export function busiest(buckets, by) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const bucket of buckets) {
    for (const row of bucket.rows) {
      const name = row[by] || NOBODY[by];
      found.set(name, (found.get(name) ?? 0) + row.requests);
    }
  }
  return [...found].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([name]) => name);
}

/**
 * @param {Bucket[]} buckets oldest first
 * @param {"backend"|"model"} by
 * @param {number} until Unix seconds: where the hour ends
 * @param {number} since Unix seconds at which Nexus began: nothing is known of before
 * @returns {{times: number[], seconds: number, sums: Map<string, (Sum|null)[]>}} a gap has `null`
 */
export function grouped(buckets, by, until, since) {
  const seconds = buckets.at(-1)?.seconds ?? 10;
  const end = Math.floor(until / seconds) * seconds;
  const times = Array.from({ length: BUCKETS }, (_, index) => end - (BUCKETS - index) * seconds);
  const names = busiest(buckets, by);
  const own = new Set(names.length > MOST_LINES ? names.slice(0, MOST_LINES - 1) : names);
  /** @type {Map<string, (Sum|null)[]>} */
  const sums = new Map();
  for (const name of own.size < names.length ? [...own, OTHERS] : own)
    sums.set(
      name,
      times.map(() => null),
    );
  for (const bucket of buckets) {
    const at = Math.round((bucket.at - times[0]) / seconds);
    if (at < 0 || at >= BUCKETS) continue;
    for (const row of bucket.rows) {
      const name = row[by] || NOBODY[by];
      const line = /** @type {(Sum|null)[]} */ (sums.get(own.has(name) ? name : OTHERS));
      add((line[at] ??= zero()), row);
    }
  }
  return { times, seconds, sums };
}

/**
 * @param {ReturnType<typeof grouped>} data
 * @param {Figure} figure
 * @returns {Line[]}
 */
export function lines(data, figure) {
  return [...data.sums].map(([name, sums]) => ({
    name,
    values: sums.map((sum) => sum && figure.value(sum, data.seconds)),
    total: sums.reduce((/** @type {Sum} */ all, sum) => {
      if (sum) {
        for (const key of /** @type {(keyof Sum)[]} */ (Object.keys(all))) all[key] += sum[key];
      }
      return all;
    }, zero()),
  }));
}

/**
 * @param {Line} line
 * @returns {{last: number|null, most: number|null}}
 */
export function extremes(line) {
  const known = /** @type {number[]} */ (line.values.filter((value) => value != null));
  return { last: known.at(-1) ?? null, most: known.length ? Math.max(...known) : null };
}
