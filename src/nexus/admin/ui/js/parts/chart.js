/** `<nexus-chart>`: lines over time, drawn by uPlot, in the colours of the page; says with `hover` where the mouse is. */

import library from "../../vendor/uplot/uPlot.esm.js";

/** @type {any} it comes without types beside it */
const uPlot = library;

const HEIGHT = 165;
/** Lines differ in their dashes, too: colours are not for everybody. */
export const DASHES = [[], [7, 3], [2, 3], [10, 3, 2, 3], [4, 4], [12, 4], [1, 4], [6, 2, 1, 2]];

/**
 * @typedef {object} Plot
 * @property {number[]} times Unix seconds
 * @property {{name: string, values: (number|null)[]}[]} lines
 * @property {(value: number) => string} format
 * @property {number} [most] the least that the upper end of the scale is
 */

class Chart extends HTMLElement {
  /** @type {any} */
  #plot = null;
  /** @type {Plot|null} */
  #value = null;
  #shape = "";
  #observer = new ResizeObserver(() => this.#resize());
  #retheme = () => this.#build();

  connectedCallback() {
    this.#observer.observe(this);
    document.addEventListener("nexus-theme", this.#retheme);
    this.#build();
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    document.removeEventListener("nexus-theme", this.#retheme);
    this.#plot?.destroy();
    this.#plot = null;
  }

  /** @param {Plot} value */
  set plot(value) {
    this.#value = value;
    const shape = value.lines.map((line) => line.name).join("\n");
    if (this.#plot && shape === this.#shape) this.#plot.setData(dataOf(value));
    else if (this.isConnected) this.#build();
  }

  #build() {
    if (!this.#value) return;
    this.#plot?.destroy();
    this.#shape = this.#value.lines.map((line) => line.name).join("\n");
    const width = Math.max(200, this.clientWidth);
    this.#plot = new uPlot(
      options(this, this.#value, width, () => this.#value),
      dataOf(this.#value),
      this,
    );
  }

  #resize() {
    if (this.#plot && this.clientWidth && this.clientWidth !== this.#plot.width) {
      this.#plot.setSize({ width: this.clientWidth, height: HEIGHT });
    }
  }
}

/** @param {Plot} value */
function dataOf(value) {
  return [value.times, ...value.lines.map((line) => line.values)];
}

/**
 * @param {HTMLElement} host
 * @param {Plot} value
 * @param {number} width
 * @param {() => Plot|null} newest
 */
function options(host, value, width, newest) {
  const moved = (/** @type {any} */ plot) =>
    host.dispatchEvent(new CustomEvent("hover", { detail: plot.cursor.idx ?? null }));
  const range = (
    /** @type {unknown} */ _,
    /** @type {number|null} */ __,
    /** @type {number|null} */ most,
  ) => [0, Math.max((most ?? 0) * 1.1, value.most ?? 0.001)];
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { setScale: false, x: false, y: false } },
    hooks: { setCursor: [moved] },
    padding: [8, 8, 0, 0],
    scales: { y: { range } },
    axes: axes(host, newest),
    series: [{}, ...value.lines.map((line, index) => series(host, line.name, index))],
  };
}

/**
 * @param {HTMLElement} host
 * @param {() => Plot|null} newest
 */
function axes(host, newest) {
  const stroke = colour(host, "axis-colour");
  const axis = { stroke, font: "12px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: colour(host, "grid-colour"), width: 1 };
  const times = (/** @type {unknown} */ _, /** @type {number[]} */ ticks) => ticks.map(timeOfDay);
  const values = (/** @type {unknown} */ _, /** @type {number[]} */ ticks) =>
    ticks.map((tick) => newest()?.format(tick) ?? "");
  return [
    { ...axis, grid: { show: false }, size: 28, space: 70, values: times },
    { ...axis, grid, size: 62, space: 34, values },
  ];
}

/**
 * @param {HTMLElement} host
 * @param {string} label
 * @param {number} index
 */
function series(host, label, index) {
  const stroke = colour(host, `line-${index + 1}`);
  return { label, stroke, width: 1.75, dash: DASHES[index], points: { show: false }, spanGaps: false };
}

/** @param {number} at */
function timeOfDay(at) {
  const moment = new Date(at * 1000);
  return `${String(moment.getHours()).padStart(2, "0")}:${String(moment.getMinutes()).padStart(2, "0")}`;
}

/**
 * @param {HTMLElement} host
 * @param {string} name a class that has a colour
 */
function colour(host, name) {
  const probe = document.createElement("i");
  probe.className = name;
  host.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

customElements.define("nexus-chart", Chart);
