// The size studio: a height and photos or a weight become a size, with everything that was measured, and how sure it is.

import { ApiError, post, whenFree } from "../api.js";
import { h, icon, put, show } from "../dom.js";
import { percent, title } from "../format.js";
import { PictureField, card, empty, failure, notice, skeleton, zoomable } from "../ui.js";
import { HEIGHT, QuantityField, WEIGHT } from "../units.js";

const ONE_SIZE_FROM = 0.8; // below it the shop's widget shows a range (the contract)

const NO_SIZE_FROM = 0.02; // less is rounding

const SPREAD_CM = 10;

const SOURCES = { photo: "the photo", side_photo: "the photo from the side", height: "the height", weight: "the weight", sex: "the sex" };

const SAMPLE_NAMES = { person_1_woman_m: "a woman", person_2_man_l: "a man", person_3_woman_xl: "another woman" };

export function peopleSamples(hello) {
  return hello.people.map((person) => ({ ...person, label: SAMPLE_NAMES[person.file.replace(".jpg", "")] ?? "a person" }));
}

export class SizeView {
  #asked = 0;

  constructor({ main, hello }) {
    this.slider = h("input", { type: "range", min: 140, max: 210, value: 170, "aria-label": "Height in centimetres", tabindex: "-1" });
    this.slider.addEventListener("input", () => this.height.set(Number(this.slider.value)));
    this.height = new QuantityField(HEIGHT, { value: 170, required: true, onchange: (cm) => (this.slider.value = cm ?? 170) });
    put(this.height.element, this.slider);
    this.sex = h("select", { id: "sex" }, h("option", { value: "" }, "Not said"), h("option", { value: "female" }, "Female"), h("option", { value: "male" }, "Male"));
    this.fit = h("select", { id: "fit" }, ["tight", "regular", "loose"].map((word) => h("option", { value: word, selected: word === "regular" }, title(word))));
    this.chart = h("textarea", { id: "chart", rows: 6, maxlength: 8000, spellcheck: "false", placeholder: '{"garment": "top", "sizes": [{"name": "M", "chest": {"min": 92, "max": 100}}]}' });
    const samples = peopleSamples(hello).map((person) => ({ ...person, onpick: () => this.#setHeight(person.height_cm) }));
    const onpick = () => this.#enable();
    this.photo = new PictureField({ label: "Photo", hint: "the whole person, from the front", samples, onpick, removable: true });
    this.side = new PictureField({ label: "Photo from the side", hint: "optional: it shows what the front hides", onpick, removable: true });
    this.weight = new QuantityField(WEIGHT, { onchange: onpick });
    this.button = h("button", { class: "button primary", type: "submit", disabled: true }, icon("size"), "Measure");
    this.result = h("div", { "aria-live": "polite" });
    const form = h(
      "form",
      { class: "card", onsubmit: (event) => this.#measure(event) },
      this.photo.element,
      this.side.element,
      this.height.element,
      this.weight.element,
      h("div", { class: "field" }, h("label", { for: "sex" }, "Sex"), this.sex),
      h("p", { class: "hint muted small" }, "Weight and sex are optional: a weight makes the answer surer, and the sex says how to read the weight. With a weight there need be no photo."),
      h("details", {}, h("summary", {}, "A shop's size chart"), h("div", { class: "field" }, h("label", { for: "fit" }, "Clothes should sit"), this.fit), h("div", { class: "field" }, h("label", { for: "chart" }, "Size chart, as in the API"), this.chart)),
      this.button,
    );
    show(main, h("div", { class: "headline" }, h("h1", {}, "Size studio"), h("p", {}, "What the estimate sees, measures and concludes. Nothing is kept.")), h("div", { class: "studio" }, form, this.result));
    show(this.result, h("section", { class: "card" }, empty("size", "Drop a photo, give a height", "You see the person with landmarks, silhouette and measuring lines, the girths with their errors, how likely each size is, and what would make the photo better.")));
  }

  destroy() {
    this.#asked += 1;
    this.photo.destroy();
    this.side.destroy();
  }

  #setHeight(value) {
    this.height.set(value);
    this.slider.value = value;
  }

  #enable() {
    this.button.disabled = !(this.photo.blob || this.side.blob || this.weight.metric !== null);
  }

  async #measure(event) {
    event.preventDefault();
    const asked = ++this.#asked;
    this.button.disabled = true;
    this.result.setAttribute("aria-busy", "true");
    if (!this.result.querySelector(".measured")) show(this.result, card("Measuring", null, skeleton(6)));
    try {
      const photos = [this.photo.blob, this.side.blob].filter(Boolean);
      const query = { height_cm: this.height.metric, weight_kg: this.weight.metric ?? "", sex: this.sex.value, fit_preference: this.fit.value, size_chart: this.chart.value.trim() };
      if (photos.length === 2) query.first_bytes = photos[0].size;
      const body = new Blob(photos);
      const answer = await whenFree(() => post("measure", { query, body }));
      if (asked === this.#asked) show(this.result, measured(answer));
    } catch (error) {
      if (asked === this.#asked) show(this.result, refusal(error));
    } finally {
      this.#enable();
      this.result.removeAttribute("aria-busy");
    }
  }
}

function refusal(error) {
  if (error instanceof ApiError && error.hint && error.code !== "malformed") {
    return h("section", { class: "card" }, notice("warn", h("p", {}, h("strong", {}, "No size can be told from this photo.")), h("p", {}, error.hint), h("p", { class: "small" }, `Code: ${error.code}`)));
  }
  return failure(error);
}

function measured({ estimate, picture, side_picture }) {
  return h(
    "section",
    { class: "card" },
    h(
      "div",
      { class: picture ? "measured" : "measured no-photo" },
      picture &&
        h(
          "div",
          { class: "photos" },
          zoomable(picture, "The photo with landmarks, silhouette and measuring lines"),
          side_picture && zoomable(side_picture, "The photo from the side with landmarks and silhouette"),
        ),
      h(
        "div",
        { class: "findings" },
        h(
          "div",
          { class: "size-answer" },
          h("p", { class: "letter" }, estimate.recommended_size ?? "–"),
          h("div", {}, h("h2", {}, estimate.recommended_size ? `Size ${estimate.recommended_size}` : "No size of this chart"), h("p", { class: "muted" }, shown(estimate)), estimate.body_type && h("p", { class: "muted" }, `Body type: ${estimate.body_type}`), h("p", { class: "muted" }, `Measured from ${listed(estimate.measured_from.map((source) => SOURCES[source] ?? source))}.`)),
        ),
        estimate.recommended_size && confidenceMeter(estimate.confidence),
        sizeBar(estimate),
        measures(estimate),
        sits(estimate),
        aboutTheChart(estimate),
        why(estimate),
        next(estimate),
      ),
    ),
  );
}

function shown({ recommended_size, size_range, confidence, outside_chart }) {
  const likely = outside_chart ? `${outside_chart.message} ${percent(outside_chart.probability)} sure${outside_chart.column ? `, by the ${outside_chart.column}` : ""}.` : "";
  if (!recommended_size) return likely;
  const one = confidence >= ONE_SIZE_FROM || size_range.lower === size_range.upper;
  return `The shop shows “${one ? recommended_size : `Between ${size_range.lower} and ${size_range.upper}`}”. ${likely}`;
}

function confidenceMeter(confidence) {
  return h(
    "div",
    { class: "field confidence" },
    h("h3", {}, `${percent(Math.floor(confidence * 1000) / 1000, 1)} sure`),
    h("div", { class: "meter" }, h("i", { style: { width: `${confidence * 100}%` } }), h("span", { class: "tick" })),
    h("p", { class: "muted small" }, `From ${percent(ONE_SIZE_FROM)} on (the mark), the shop shows one size.`),
  );
}

function sizeBar({ size_probabilities, recommended_size, size_range }) {
  const names = Object.keys(size_probabilities);
  const inRange = (index) => size_range && index >= names.indexOf(size_range.lower) && index <= names.indexOf(size_range.upper);
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
    size_range && h("p", { class: "muted small" }, held(size_range, size_probabilities)),
  );
}

/** What the range promises: of those whom a size of the chart fits. */
function held({ lower, upper }, probabilities) {
  const range = lower === upper ? `${lower} alone` : `${lower} to ${upper}`;
  const none = 1 - Object.values(probabilities).reduce((sum, one) => sum + one, 0);
  if (none < NO_SIZE_FROM) return `${range} holds the right size 9 times in 10.`;
  return `No size of the chart fits: ${percent(none)}. If one does, ${range} holds it 9 times in 10.`;
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
        const off = Math.min(error, SPREAD_CM);
        return h(
          "tr",
          {},
          h("th", { scope: "row" }, title(name.replace("_cm", ""))),
          h("td", { class: "right" }, h("strong", {}, value.toFixed(1))),
          h("td", { class: "muted" }, error.toFixed(1)),
          h("td", {}, h("div", { class: "spread", "aria-hidden": "true", title: `The bar is ±${SPREAD_CM} cm wide` }, h("i", { style: { left: place(-off), width: `${(off / SPREAD_CM) * 100}%` } }), h("b", { style: { left: place(0) } }))),
        );
      }),
    ),
  );
}

function sits({ fit, recommended_size }) {
  if (!fit.length) return null;
  const columns = [...new Set(fit.flatMap((size) => size.columns.map((one) => one.column)))];
  const table = h(
    "table",
    { class: "sits" },
    h("caption", {}, "How it sits"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Size"), columns.map((column) => h("th", { scope: "col" }, title(column))))),
    h(
      "tbody",
      {},
      fit.map((size) => h("tr", { class: size.size === recommended_size ? "chosen" : "" }, h("th", { scope: "row" }, size.size), columns.map((column) => h("td", {}, sitting(size.columns.find((one) => one.column === column)))))),
    ),
  );
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "How it sits" }, table);
}

function sitting(one) {
  if (!one) return "";
  if (!one.word) return `${one.garment_cm.toFixed(1)} cm`;
  const room = one.ease_cm === null ? "" : ` (${one.ease_cm.toFixed(1)} cm ease)`;
  return `${one.word}${room}, ${percent(one.probability)}`;
}

function aboutTheChart({ chart_warnings }) {
  if (!chart_warnings.length) return null;
  return h(
    "div",
    { class: "field" },
    h("h3", {}, "About the chart"),
    h("ul", { class: "advice" }, chart_warnings.map(({ code, message, sizes }) => h("li", { title: code }, icon("warn"), h("span", {}, message, " ", h("span", { class: "muted" }, sizes.join(", ")))))),
  );
}

function why({ recommended_size, warnings, confidence, size_probabilities, measured_from }) {
  const advice = warnings.map((one) => [one.message, one.code]);
  if (recommended_size && confidence < ONE_SIZE_FROM) {
    const [first, second] = Object.entries(size_probabilities).sort((one, other) => other[1] - one[1]);
    if (second) advice.push([`The person is near the limit between ${first[0]} (${percent(first[1])}) and ${second[0]} (${percent(second[1])}).`, null]);
  }
  if (!advice.length && (!recommended_size || !measured_from.includes("photo"))) return null;
  return h(
    "div",
    { class: "field" },
    h("h3", {}, confidence < ONE_SIZE_FROM ? "Why it is not surer" : warnings.length ? "What would make it surer" : "Nothing is wrong with this photo"),
    advice.length > 0 && h("ul", { class: "advice" }, advice.map(([text, code]) => h("li", { title: code }, icon("warn"), h("span", {}, text)))),
  );
}

function next({ ask_next }) {
  if (!ask_next.length) return null;
  return h(
    "div",
    { class: "field" },
    h("h3", {}, "What to ask next"),
    h("ol", { class: "advice ask" }, ask_next.map(({ ask, message, narrows_range_by }) => h("li", { title: ask }, icon("size"), h("span", {}, message, " ", h("span", { class: "muted nowrap" }, narrower(narrows_range_by)))))),
  );
}

function narrower(sizes) {
  return `Range narrower by ${sizes.toFixed(1)} ${sizes.toFixed(1) === "1.0" ? "size" : "sizes"}.`;
}

function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
