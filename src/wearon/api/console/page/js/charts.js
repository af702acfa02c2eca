// Time lines of the last hour, as SVG. Each can be read with the pointer or, focused, with the arrow keys.

import { h, s, say, show } from "./dom.js";
import { absolute, clock } from "./format.js";

const HEIGHT = 150;
const TOP = 8;
const BOTTOM = 20;
const LEFT = 34;

class MinuteChart {
  #minutes = [];
  #at = null;

  /**
   * `describe(minute)` and `summarise(minutes)` are the readout's words; of the latter a part may be a link,
   * `[text, address]`. `open(minute)`: the address that a click on a minute, or Enter, leads to.
   */
  constructor({ heading, label, describe, summarise, legend, open = null, unit = "" }) {
    this.open = open;
    this.unit = unit;
    this.describe = describe;
    this.summarise = summarise;
    this.readout = h("p", { class: "readout" });
    this.svg = s("svg", { height: HEIGHT, "aria-hidden": "true" });
    this.plot = h("div", { class: "plot", role: "slider", tabindex: "0", "aria-label": label, "aria-valuemin": "1", "aria-valuemax": "60", "aria-valuenow": "60", "aria-orientation": "horizontal" }, this.svg);
    this.element = h("section", { class: "card chart" }, h("header", {}, h("h2", {}, heading), this.readout), this.plot, legend && h("ul", { class: "legend" }, legend.map(([name, text, href]) => h("li", { class: name }, href ? h("a", { href }, text) : text))));
    this.plot.addEventListener("pointermove", (event) => this.#point(event));
    this.plot.addEventListener("pointerleave", () => this.#choose(null));
    this.plot.addEventListener("blur", () => this.#choose(null));
    this.plot.addEventListener("focus", () => this.#choose(this.#minutes.length - 1));
    if (open) {
      this.plot.title = "A click, or Enter: the sessions of that minute";
      this.plot.addEventListener("click", (event) => this.#onClick(event));
    }
    this.plot.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.#draw()).observe(this.plot);
  }

  update(minutes) {
    this.#minutes = minutes;
    this.#draw();
  }

  #draw() {
    const width = this.plot.clientWidth;
    if (!width || !this.#minutes.length) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const top = nice(Math.max(...this.#minutes.map((minute) => this.height(minute) ?? 0)));
    const step = (width - LEFT) / this.#minutes.length;
    const frame = {
      step,
      x: (index) => LEFT + index * step,
      y: (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top),
    };
    show(this.svg, this.#rules(frame, top, width), this.#hours(frame, width), this.marks(this.#minutes, frame));
    if (this.#at !== null) this.svg.append(s("rect", { class: "cursor", x: frame.x(this.#at), y: TOP, width: step, height: HEIGHT - TOP - BOTTOM, rx: 2 }));
    this.#read();
  }

  #rules(frame, top, width) {
    return [0, top / 2, top].map((value) => [
      s("line", { class: "rule", x1: LEFT, x2: width, y1: frame.y(value), y2: frame.y(value) }),
      s("text", { x: LEFT - 8, y: frame.y(value) + 4, "text-anchor": "end" }, `${Number.isInteger(value) ? value : value.toFixed(1)}${this.unit}`),
    ]);
  }

  #hours(frame, width) {
    const last = this.#minutes.length - 1;
    return [0, 15, 30, 45, last].map((index) =>
      s("text", { x: Math.min(frame.x(index) + frame.step / 2, width), y: HEIGHT - 4, "text-anchor": index === last ? "end" : index === 0 ? "start" : "middle" }, clock(this.#minutes[index]?.at)),
    );
  }

  #point(event) {
    const box = this.plot.getBoundingClientRect();
    const index = Math.floor(((event.clientX - box.left - LEFT) / (box.width - LEFT)) * this.#minutes.length);
    this.#choose(index >= 0 && index < this.#minutes.length ? index : null);
  }

  /** A finger does not move before it taps, and the focus that it brings stands on the last minute. */
  #onClick(event) {
    this.#point(event);
    this.#open();
  }

  #onKey(event) {
    const last = this.#minutes.length - 1;
    const at = this.#at ?? last;
    if (event.key === "Enter" && this.open) this.#open();
    const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: last, PageUp: at + 10, PageDown: at - 10 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#choose(Math.max(0, Math.min(last, to)));
  }

  #open() {
    const minute = this.#minutes[this.#at];
    if (minute) location.hash = this.open(minute);
  }

  #choose(index) {
    if (index === this.#at) return;
    this.#at = index;
    this.#draw();
  }

  #read() {
    const minute = this.#minutes[this.#at ?? this.#minutes.length - 1];
    this.plot.setAttribute("aria-valuenow", (this.#at ?? this.#minutes.length - 1) + 1);
    this.plot.setAttribute("aria-valuetext", `${clock(minute.at)}: ${this.describe(minute)}`);
    this.readout.title = this.#at === null ? "" : absolute(minute.at);
    const parts = this.#at === null ? this.summarise(this.#minutes) : [`${clock(minute.at)}  ·  ${this.describe(minute)}`];
    const key = JSON.stringify(parts);
    if (this.readout.key === key) return; // a link keeps focus and hover
    this.readout.key = key;
    show(this.readout, parts.map((part) => (Array.isArray(part) ? h("a", { href: part[1] }, part[0]) : part)));
  }
}

/** Bars of what completed, and on top of them what failed. */
export class ThroughputChart extends MinuteChart {
  height(minute) {
    return minute.completed + minute.failed;
  }

  marks(minutes, { x, y, step }) {
    // Stripes beside a plain colour: told apart without seeing red and green.
    const stripes = s("pattern", { id: "stripes", width: 4, height: 4, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, s("rect", { class: "failed", width: 4, height: 4 }), s("rect", { class: "stripe", width: 1.5, height: 4 }));
    const bars = minutes.map((minute, index) => {
      const bar = (name, from, to) => to > from && s("rect", { class: name, x: x(index) + step * 0.14, width: step * 0.72, y: y(to), height: y(from) - y(to), rx: Math.min(2, step / 4) });
      return [bar("completed", 0, minute.completed), bar("striped", minute.completed, minute.completed + minute.failed)];
    });
    return [s("defs", {}, stripes), bars];
  }
}

/** A line of the mean latency, broken where nothing was asked. */
export class LatencyChart extends MinuteChart {
  height(minute) {
    return meanLatency(minute);
  }

  marks(minutes, { x, y, step }) {
    const runs = [];
    let run = [];
    minutes.forEach((minute, index) => {
      const mean = meanLatency(minute);
      if (mean === null) {
        if (run.length) runs.push(run);
        run = [];
      } else run.push([x(index) + step / 2, y(mean)]);
    });
    if (run.length) runs.push(run);
    return runs.map((points) => {
      if (points.length === 1) return s("circle", { class: "point", cx: points[0][0], cy: points[0][1], r: 3 });
      const line = points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
      const floor = y(0);
      return [s("polygon", { class: "area", points: `${points[0][0]},${floor} ${line} ${points.at(-1)[0]},${floor}` }), s("polyline", { class: "line", points: line })];
    });
  }
}

export function meanLatency(minute) {
  return minute.openai_calls ? minute.openai_s / minute.openai_calls : null;
}

/** The next round number: 1, 2, 5, 10, 20, 50 ... */
function nice(value) {
  if (value <= 2) return 2;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.6, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((top) => top >= value);
}
