// Heights and weights in the units that people know; the worker is asked in cm and kg.

import { h, show } from "./dom.js";

const CM = { parts: [["cm", 1, "centimetres"]] };
const FEET = { parts: [["ft", 30.48, "feet"], ["in", 2.54, "inches"]] };
const KG = { parts: [["kg", 1, "kilograms"]] };
const POUNDS = { parts: [["lb", 0.45359237, "pounds"]] };
const STONES = { parts: [["st", 6.35029318, "stones"], ["lb", 0.45359237, "pounds"]] };

export const HEIGHT = { id: "height", label: "Height", least: 100, most: 250, unit: "cm", units: { cm: CM, "ft in": FEET } };
export const WEIGHT = { id: "weight", label: "Weight", least: 30, most: 250, unit: "kg", units: { kg: KG, lb: POUNDS, "st lb": STONES } };

/** The numbers to show, one for each part of the unit, of a metric value: tenths of the last part, none of them too many. */
export function split(metric, { parts }) {
  const last = parts.at(-1)[1];
  let tenths = Math.round((metric / last) * 10);
  return parts.map(([, size], index) => {
    if (index === parts.length - 1) return tenths / 10;
    const each = Math.round((size / last) * 10);
    const whole = Math.floor(tenths / each);
    tenths -= whole * each;
    return whole;
  });
}

/** The metric value of the numbers. */
export function join(numbers, { parts }) {
  return parts.reduce((sum, [, size], index) => sum + size * numbers[index], 0);
}

/** Inputs for one quantity, with a choice of its unit. `metric` is null while nothing is typed. */
export class QuantityField {
  #what;
  #onchange;
  #boxes;
  #choice;
  #inputs = [];

  constructor(what, { value = null, required = false, onchange = () => {} }) {
    this.#what = what;
    this.#onchange = onchange;
    this.metric = value;
    this.required = required;
    this.#boxes = h("div", { class: "quantity" });
    this.#choice = h("select", { class: "unit", "aria-label": `Unit of the ${what.label.toLowerCase()}`, onchange: () => this.#render() }, Object.keys(what.units).map((name) => h("option", { value: name }, name)));
    this.element = h("div", { class: "field" }, h("label", { for: what.id }, what.label), h("div", { class: "measured-in" }, this.#boxes, this.#choice));
    this.#render();
  }

  set(metric) {
    this.metric = metric;
    this.#fill();
  }

  get #unit() {
    return this.#what.units[this.#choice.value];
  }

  #render() {
    const { id, label } = this.#what;
    this.#inputs = this.#unit.parts.map(([, , name], index) => {
      const names = index === 0 ? { id } : { "aria-label": `${label}, ${name}` };
      return h("input", { ...names, type: "number", min: 0, step: "any", inputmode: "decimal", required: this.required && index === 0, oninput: () => this.#read() });
    });
    show(this.#boxes, this.#inputs.map((input, index) => h("div", { class: "with-unit" }, input, h("span", { "aria-hidden": "true" }, this.#unit.parts[index][0]))));
    this.#fill();
  }

  #fill() {
    const numbers = this.metric === null ? [] : split(this.metric, this.#unit);
    this.#inputs.forEach((input, index) => (input.value = numbers[index] ?? ""));
    this.#check();
  }

  #read() {
    const typed = this.#inputs.some((input) => input.value !== "");
    this.metric = typed ? join(this.#inputs.map((input) => Number(input.value)), this.#unit) : null;
    this.#check();
    this.#onchange(this.metric);
  }

  /** The browser says it beside the field, and sends nothing. */
  #check() {
    const { label, least, most, unit } = this.#what;
    const outside = this.metric !== null && !(this.metric >= least && this.metric <= most);
    const [low, high] = [least, most].map((limit) => split(limit, this.#unit).map((number, index) => `${number} ${this.#unit.parts[index][0]}`).join(" "));
    const over = this.#unit.parts.slice(1).findIndex(([, size], index) => Number(this.#inputs[index + 1].value) >= Math.round(this.#unit.parts[index][1] / size));
    this.#inputs[0].setCustomValidity(outside ? `${label} must be ${low} to ${high}${unit === this.#choice.value ? "" : ` (${least} to ${most} ${unit})`}.` : "");
    this.#inputs[1]?.setCustomValidity(over < 0 ? "" : `Write less than one ${this.#unit.parts[over][0]} here.`);
  }
}
