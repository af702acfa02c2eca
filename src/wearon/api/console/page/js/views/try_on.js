// Local mode's try-on studio: a real session, a real task, its steps as they happen, the result beside the original.

import { get, inTurn, post, segment, whenFree } from "../api.js";
import { h, icon, show } from "../dom.js";
import { duration } from "../format.js";
import { PictureField, card, empty, failure, notice, statusPill } from "../ui.js";
import { peopleSamples } from "./size.js";

const GARMENT_NAMES = { garment_dress: "a dress", garment_jacket: "a jacket", garment_tshirt: "a T-shirt" };

const LOOKS = 20; // at the history of what has failed, until it says how

// The pipeline's steps as the history names them, with the wait before them.
const STEPS = ["Queue", "Start", "Photos", "Generate", "Upload", "Complete"];

export class TryOnView {
  #gone = false;
  #read = inTurn(() => this.#look());

  constructor({ main, hello }) {
    const garments = hello.garments.map((file) => ({ file, label: GARMENT_NAMES[file.replace(".jpg", "")] ?? "a garment" }));
    this.person = new PictureField({ label: "Person", hint: "seen whole, from the front", samples: peopleSamples(hello), onpick: () => this.#enable() });
    this.garment = new PictureField({ label: "Garment", hint: "on a plain background", samples: garments, onpick: () => this.#enable() });
    this.button = h("button", { class: "button primary", type: "submit", disabled: true }, icon("try"), "Try it on");
    this.result = h("div");
    const form = h("form", { class: "card", onsubmit: (event) => this.#order(event) }, this.person.element, this.garment.element, this.button);
    show(main, h("div", { class: "headline" }, h("h1", {}, "Try-on studio"), h("p", {}, "One real task through this worker. Local mode draws a preview; no image model is asked.")), h("div", { class: "studio" }, form, this.result));
    show(this.result, h("section", { class: "card" }, empty("try", "Drop a person and a garment", "A credit is taken from the demo user, a session is opened and a task pushed, just as the shop does it. You see each step as it happens, and the result beside the original.")));
  }

  /** This process's state has changed: so may have our session's. */
  update(now) {
    if (!this.session || this.final) return;
    this.running = now.running.find((job) => job.session_id === this.session)?.step ?? null;
    this.#read();
  }

  destroy() {
    this.#gone = true;
    this.person.destroy();
    this.garment.destroy();
  }

  #enable() {
    this.button.disabled = !(this.person.blob && this.garment.blob) || this.underWay;
  }

  async #order(event) {
    event.preventDefault();
    this.underWay = true;
    this.button.disabled = true;
    this.session = this.running = null;
    this.final = false;
    this.looks = 0;
    this.began = performance.now();
    this.#frame();
    try {
      const pictures = [];
      for (const { blob } of [this.person, this.garment]) {
        pictures.push((await whenFree(() => post("pictures", { body: blob }))).url);
      }
      const { session_id } = await post("try-on", { json: { pictures } });
      this.session = session_id;
      show(this.link, h("a", { href: `#/sessions/${segment(session_id)}` }, "Open its session"));
      await this.#read();
    } catch (error) {
      this.#end(failure(error));
    }
  }

  #frame() {
    this.status = h("span", {}, statusPill("queued"));
    this.link = h("span");
    this.steps = h("ol", { class: "steps try-steps", "aria-label": "Steps" });
    this.after = h("div", { class: "waiting" }, "The result comes here");
    this.message = h("div", { "aria-live": "polite" });
    show(
      this.result,
      card(
        "Try-on",
        null,
        h("div", { class: "case-head" }, h("div", {}, this.status), this.link),
        this.steps,
        this.message,
        h(
          "div",
          { class: "before-after" },
          h("figure", {}, h("figcaption", {}, "Original"), h("img", { src: this.person.url, alt: "The person as photographed" })),
          h("figure", {}, h("figcaption", {}, "Result"), this.after),
        ),
      ),
    );
    this.#paintSteps([], null);
  }

  /** One look that fails ends nothing: the session goes on, and the next change is another look. */
  async #look() {
    if (this.final || this.#gone) return;
    try {
      await this.#tell(await get(`sessions/${segment(this.session)}`));
    } catch (error) {
      if (!this.#gone) show(this.message, failure(error, () => this.#read()));
    }
  }

  async #tell(history) {
    if (this.#gone) return;
    show(this.message);
    const { status } = history.session;
    show(this.status, statusPill(status));
    // The row says so moments before the history does, which knows the step.
    if (status === "failed" && !history.events.some((event) => event.kind === "failed") && this.looks < LOOKS) {
      this.looks += 1;
      setTimeout(() => this.#read(), 300);
      return;
    }
    this.#paintSteps(history.events, status);
    if (status === "completed") await this.#reveal(history);
    else if (status === "failed") this.#end(whyNot(history));
  }

  async #reveal(history) {
    const { url } = await post(`sessions/${segment(this.session)}/pictures/result`);
    if (this.#gone) return;
    this.after.replaceWith(h("img", { src: url, alt: "The person wearing the garment: a local preview" }));
    const took = history.processing_time_ms === null ? null : duration(history.processing_time_ms / 1000);
    this.#end(notice("good", h("p", {}, took ? `Done: made in ${took}.` : "Done.", " The credit is spent, the picture is stored and signed.")));
  }

  #end(message) {
    this.final = true;
    if (this.after.isConnected) show(this.after, "There is no result");
    this.underWay = false;
    show(this.message, message);
    this.#enable();
  }

  #paintSteps(events, status) {
    const ran = new Map(events.filter((event) => event.kind === "step").map((event) => [event.step, event]));
    const started = events.some((event) => event.kind === "started") || status === "processing";
    const at = STEPS.findIndex((name) => name.toLowerCase() === (this.running === "rate_limit" ? "generate" : this.running));
    // Nothing but the refund comes after the step that failed.
    const failed = status === "failed" ? STEPS.find((name) => name.toLowerCase() === lastStep(events)) ?? "Queue" : null;
    const done = (name) => name !== failed && ((name === "Queue" ? started : ran.get(name.toLowerCase())?.seconds != null) || STEPS.indexOf(name) < at || status === "completed");
    const current = failed ?? STEPS.find((name) => !done(name));
    show(
      this.steps,
      STEPS.map((name) => {
        const seconds = ran.get(name.toLowerCase())?.seconds;
        const state = done(name) ? "done" : name === current ? (status === "failed" ? "failed current" : "current") : "";
        return h("li", { class: state, "aria-current": name === current && status !== "failed" ? "step" : null }, name, seconds != null && h("b", {}, duration(seconds)));
      }),
    );
  }
}

/** What happened, what can be changed, where the credit is; the worker's own reason as a detail. */
function whyNot({ session, advice, reason, refund }) {
  return notice(
    "warn",
    h("p", {}, h("strong", {}, advice?.headline ?? session.error_message ?? "It failed.")),
    advice?.shopper && h("p", {}, advice.shopper),
    h("p", {}, refund.sentence),
    reason && h("details", {}, h("summary", {}, "The worker's own reason"), h("p", { class: "mono" }, reason)),
  );
}

function lastStep(events) {
  return events.findLast((event) => STEPS.some((name) => name.toLowerCase() === event.step))?.step;
}
