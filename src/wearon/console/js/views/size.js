// The size studio: a photo and a height become a size, with everything that was measured, and how sure it is.

import { ApiError, post, whenFree } from "../api.js";
import { h, icon, show } from "../dom.js";
import { percent, title } from "../format.js";
import { PictureField, card, empty, failure, notice, skeleton, zoomable } from "../ui.js";

const ONE_SIZE_FROM = 0.8; // below it the shop's widget shows a range (the contract)

const SPREAD_CM = 10;

const SAMPLE_NAMES = { person_1_woman_m: "a woman", person_2_man_l: "a man", person_3_woman_xl: "another woman" };

export function peopleSamples(hello) {
  return hello.people.map((person) => ({ ...person, label: SAMPLE_NAMES[person.file.replace(".jpg", "")] ?? "a person" }));
}

export class SizeView {
  #asked = 0;

  constructor({ main, hello }) {
    this.height = numberInput("height", 100, 250, 170, "cm", true);
    this.slider = h("input", { type: "range", min: 140, max: 210, value: 170, "aria-label": "Height in centimetres", tabindex: "-1" });
    this.slider.addEventListener("input", () => (this.height.input.value = this.slider.value));
    this.height.input.addEventListener("input", () => (this.slider.value = this.height.input.value));
    this.weight = numberInput("weight", 30, 250, "", "kg", false);
    this.sex = h("select", { id: "sex" }, h("option", { value: "" }, "Not said"), h("option", { value: "female" }, "Female"), h("option", { value: "male" }, "Male"));
    const samples = peopleSamples(hello).map((person) => ({ ...person, onpick: () => this.#setHeight(person.height_cm) }));
    this.photo = new PictureField({ label: "Photo", hint: "the whole person, from the front", samples, onpick: () => this.#enable() });
    this.button = h("button", { class: "button primary", type: "submit", disabled: true }, icon("size"), "Measure");
    this.result = h("div", { "aria-live": "polite" });
    const form = h(
      "form",
      { class: "card", onsubmit: (event) => this.#measure(event) },
      this.photo.element,
      h("div", { class: "field" }, h("label", { for: "height" }, "Height"), this.height.element, this.slider),
      h("div", { class: "pair" }, h("div", { class: "field" }, h("label", { for: "weight" }, "Weight"), this.weight.element), h("div", { class: "field" }, h("label", { for: "sex" }, "Sex"), this.sex)),
      h("p", { class: "hint muted small" }, "Weight and sex are optional: a weight makes the answer surer, and the sex says how to read the weight."),
      this.button,
    );
    show(main, h("div", { class: "headline" }, h("h1", {}, "Size studio"), h("p", {}, "What the estimate sees, measures and concludes. Nothing is kept.")), h("div", { class: "studio" }, form, this.result));
    show(this.result, h("section", { class: "card" }, empty("size", "Drop a photo, give a height", "You see the person with landmarks, silhouette and measuring lines, the girths with their errors, how likely each size is, and what would make the photo better.")));
  }

  destroy() {
    this.#asked += 1;
    this.photo.destroy();
  }

  #setHeight(value) {
    this.height.input.value = value;
    this.slider.value = value;
  }

  #enable() {
    this.button.disabled = false;
  }

  async #measure(event) {
    event.preventDefault();
    const asked = ++this.#asked;
    this.button.disabled = true;
    this.result.setAttribute("aria-busy", "true");
    if (!this.result.querySelector(".measured")) show(this.result, card("Measuring", null, skeleton(6)));
    try {
      const query = { height_cm: this.height.input.value, weight_kg: this.weight.input.value, sex: this.sex.value };
      const body = this.photo.blob;
      const answer = await whenFree(() => post("measure", { query, body }));
      if (asked === this.#asked) show(this.result, measured(answer, Boolean(this.weight.input.value)));
    } catch (error) {
      if (asked === this.#asked) show(this.result, refusal(error));
    } finally {
      this.button.disabled = false;
      this.result.removeAttribute("aria-busy");
    }
  }
}

function numberInput(id, min, max, value, unit, required) {
  const input = h("input", { type: "number", id, min, max, step: "0.1", value, required, inputmode: "decimal" });
  return { input, element: h("div", { class: "with-unit" }, input, h("span", { "aria-hidden": "true" }, unit)) };
}

function refusal(error) {
  if (error instanceof ApiError && error.hint) {
    return h("section", { class: "card" }, notice("warn", h("p", {}, h("strong", {}, "No size can be told from this photo.")), h("p", {}, error.hint), h("p", { class: "small" }, `Code: ${error.code}`)));
  }
  return failure(error);
}

function measured({ estimate, picture }, hasWeight) {
  const { recommended_size, size_range, confidence } = estimate;
  const one = confidence >= ONE_SIZE_FROM || size_range.lower === size_range.upper;
  return h(
    "section",
    { class: "card" },
    h(
      "div",
      { class: "measured" },
      zoomable(picture, "The photo with landmarks, silhouette and measuring lines"),
      h(
        "div",
        { class: "findings" },
        h(
          "div",
          { class: "size-answer" },
          h("p", { class: "letter" }, recommended_size),
          h("div", {}, h("h2", {}, `Size ${recommended_size}`), h("p", { class: "muted" }, one ? `The shop shows “${recommended_size}”.` : `The shop shows “Between ${size_range.lower} and ${size_range.upper}”.`), estimate.body_type && h("p", { class: "muted" }, `Body type: ${estimate.body_type}`)),
        ),
        confidenceMeter(confidence),
        sizeBar(estimate),
        measures(estimate),
        why(estimate, hasWeight),
      ),
    ),
  );
}

function confidenceMeter(confidence) {
  return h(
    "div",
    { class: "field confidence" },
    h("h3", {}, `${percent(confidence)} sure`),
    h("div", { class: "meter" }, h("i", { style: { width: `${confidence * 100}%` } }), h("span", { class: "tick" })),
    h("p", { class: "muted small" }, `From ${percent(ONE_SIZE_FROM)} on (the mark), the shop shows one size.`),
  );
}

function sizeBar({ size_probabilities, recommended_size, size_range }) {
  const names = Object.keys(size_probabilities);
  const inRange = (index) => index >= names.indexOf(size_range.lower) && index <= names.indexOf(size_range.upper);
  return h(
    "div",
    { class: "field" },
    h("h3", {}, "How likely each size is"),
    h(
      "ol",
      { class: "size-bar" },
      names.map((name, index) =>
        h(
          "li",
          { class: `${inRange(index) ? "in-range" : ""} ${name === recommended_size ? "chosen" : ""}` },
          h("span", { class: "num" }, percent(size_probabilities[name])),
          h("span", { class: "column", "aria-hidden": "true" }, h("i", { style: { height: `${size_probabilities[name] * 100}%` } })),
          h("b", {}, name),
        ),
      ),
    ),
    h("p", { class: "muted small" }, size_range.lower === size_range.upper ? `${size_range.lower} alone holds the right size 9 times in 10.` : `${size_range.lower} to ${size_range.upper} holds the right size 9 times in 10.`),
  );
}

function measures({ measurements, standard_errors }) {
  const rows = Object.entries(measurements);
  const place = (off) => `${50 + (off / SPREAD_CM) * 50}%`;
  return h(
    "table",
    { class: "measures" },
    h("caption", { class: "hidden-visually" }, "Measurements"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Measure"), h("th", { scope: "col", class: "right" }, "cm"), h("th", { scope: "col" }, "± cm"), h("th", { scope: "col" }, "Spread"))),
    h(
      "tbody",
      {},
      rows.map(([name, value]) => {
        const error = standard_errors[name];
        return h(
          "tr",
          {},
          h("th", { scope: "row" }, title(name.replace("_cm", ""))),
          h("td", { class: "right" }, h("strong", {}, value.toFixed(1))),
          h("td", { class: "muted" }, error.toFixed(1)),
          h("td", {}, h("div", { class: "spread", "aria-hidden": "true", title: `The bar is ±${SPREAD_CM} cm wide` }, h("i", { style: { left: place(-error), width: `${(error / SPREAD_CM) * 100}%` } }), h("b", { style: { left: place(0) } }))),
        );
      }),
    ),
  );
}

function why({ warnings, confidence, size_probabilities }, hasWeight) {
  const advice = warnings.map((one) => [one.message, one.code]);
  if (confidence < ONE_SIZE_FROM && !hasWeight) advice.push(["Give a weight: it makes the girths surer than a photo alone can.", null]);
  if (confidence < ONE_SIZE_FROM) {
    const [first, second] = Object.entries(size_probabilities).sort((one, other) => other[1] - one[1]);
    if (second) advice.push([`The person is near the limit between ${first[0]} (${percent(first[1])}) and ${second[0]} (${percent(second[1])}).`, null]);
  }
  return h(
    "div",
    { class: "field" },
    h("h3", {}, confidence < ONE_SIZE_FROM ? "Why it is not surer" : warnings.length ? "What would make it surer" : "Nothing is wrong with this photo"),
    advice.length > 0 && h("ul", { class: "advice" }, advice.map(([text, code]) => h("li", { title: code }, icon("warn"), h("span", {}, text)))),
  );
}
