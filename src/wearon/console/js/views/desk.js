// Dead letters and refunds: what waits for somebody. The same functions as `wearon dead-letters` and `wearon refunds`.

import { get, post, segment } from "../api.js";
import { h, icon, keep, show } from "../dom.js";
import { age, ago, plural } from "../format.js";
import { busy, card, confirm, empty, failure, pill, skeleton, toast } from "../ui.js";

export class DeskView {
  #gone = false;
  #seen = null;
  #acted = false;

  constructor({ main }) {
    this.main = main;
    this.letters = h("div");
    this.refunds = h("div");
    show(main, h("div", { class: "headline" }, h("h1", {}, "Dead letters & refunds"), h("p", {}, "What the worker could not do by itself.")), this.refunds, this.letters);
    show(this.letters, card("Dead letters", null, skeleton(3)));
    show(this.refunds, card("Refunds", null, skeleton(3)));
    this.#loadLetters();
    this.#loadRefunds();
  }

  /** Lists are read anew when their lengths have changed, not every two seconds. */
  update({ queues }) {
    if (!queues) return;
    const seen = [queues.dead_letters, queues.refunds, queues.refunds_by_hand];
    const before = this.#seen;
    this.#seen = seen;
    if (!before) return;
    if (seen[0] !== before[0]) this.#loadLetters();
    if (seen[1] !== before[1] || seen[2] !== before[2]) this.#loadRefunds();
  }

  destroy() {
    this.#gone = true;
  }

  async #loadLetters() {
    try {
      const letters = await get("dead-letters", { limit: 100 });
      if (!this.#gone) this.#showLetters(letters);
    } catch (error) {
      if (!this.#gone) show(this.letters, card("Dead letters", null, failure(error, () => this.#loadLetters())));
    }
  }

  async #loadRefunds() {
    try {
      this.#showRefunds(await get("refunds"));
    } catch (error) {
      if (!this.#gone) show(this.refunds, card("Refunds", null, failure(error, () => this.#loadRefunds())));
    }
  }

  #showLetters(letters) {
    if (letters.length && this.list?.isConnected) {
      keep(this.list, letters, letterKey, (letter) => this.#letter(letter));
      this.#keepFocus();
      return;
    }
    this.list = h("ul", { class: "cases" });
    keep(this.list, letters, letterKey, (letter) => this.#letter(letter));
    const content = letters.length ? this.list : empty("check", "No dead letters", "A document lands here when no session can be charged with it: not JSON, a version that this worker does not know, another owner's session. You can read it, push it again or forget it.");
    show(this.letters, card("Dead letters", "documents that could not become a picture, newest first", content));
    this.#keepFocus();
  }

  /** The button that was pressed may have gone with its line: whoever uses a keyboard goes on from the top. */
  #keepFocus() {
    if (!this.#acted || document.activeElement !== document.body) return;
    this.#acted = false;
    const heading = this.main.querySelector("h1");
    heading.setAttribute("tabindex", "-1");
    heading.focus({ preventScroll: true });
  }

  #letter(letter) {
    const document = h("div");
    const details = h("details", {}, h("summary", {}, "Read the document"), document);
    details.addEventListener("toggle", () => details.open && !document.firstChild && this.#read(letter.id, document));
    const again = h("button", { class: "button", type: "button", disabled: !letter.whole, title: letter.whole ? null : "The document was cut or is not UTF-8: it cannot be pushed again", onclick: () => busy(again, () => this.#retry(letter)) }, "Retry");
    const drop = h("button", { class: "button danger", type: "button", onclick: () => busy(drop, () => this.#discard(letter)) }, "Discard");
    return h(
      "li",
      { "data-letter": letter.id },
      h(
        "div",
        { class: "case-head" },
        h(
          "div",
          {},
          h("strong", {}, letter.reason),
          h("div", { class: "data" }, h("span", { class: "mono" }, letter.id), ago(letter.at), letter.session_id && sessionLink(letter.session_id), letter.request_id && h("span", { class: "mono" }, letter.request_id)),
        ),
        h("div", { class: "buttons" }, again, drop),
      ),
      details,
    );
  }

  async #read(id, place) {
    show(place, skeleton(3));
    try {
      const { payload } = await get(`dead-letters/${segment(id)}`);
      show(place, h("pre", { tabindex: "0", role: "region", "aria-label": `Document ${id}` }, readable(payload)));
    } catch (error) {
      show(place, failure(error));
    }
  }

  async #retry(letter) {
    await post(`dead-letters/${segment(letter.id)}/retry`);
    toast(`${letter.id} was pushed again.`);
    this.#acted = true;
    await this.#loadLetters();
  }

  async #discard(letter) {
    const sure = await confirm({ heading: "Discard this dead letter?", text: `${letter.id} (${letter.reason}) is forgotten for good. Its session, if it has one, is not touched.`, action: "Discard" });
    if (!sure) return;
    await post(`dead-letters/${segment(letter.id)}/discard`);
    toast(`${letter.id} was discarded.`);
    this.#acted = true;
    await this.#loadLetters();
  }

  #showRefunds({ outstanding, by_hand }) {
    if (this.#gone) return;
    const all = outstanding.length > 1 && h("button", { class: "button", type: "button", onclick: () => busy(all, () => this.#settle()) }, "Retry all now");
    show(
      this.refunds,
      h(
        "div",
        { class: "grid" },
        h(
          "section",
          { class: by_hand.length ? "card w6" : "card" },
          h("header", {}, h("h2", {}, "Outstanding refunds"), all || h("p", {}, outstanding.length ? "tried until they succeed" : null)),
          outstanding.length ? h("ul", { class: "cases" }, outstanding.map((one) => this.#outstanding(one))) : empty("coin", "No refund is outstanding", "A failed generation gives its credit back exactly once, within 30 seconds. What the platform does not take at once waits here and is tried until it succeeds."),
        ),
        by_hand.length > 0 && h("section", { class: "card w6" }, h("header", {}, h("h2", {}, "Need a person"), h("p", {}, "cannot be given back as credit")), h("ul", { class: "cases" }, by_hand.map((one) => this.#byHand(one)))),
      ),
    );
    this.#keepFocus();
  }

  #outstanding(one) {
    const again = h("button", { class: "button", type: "button", onclick: () => busy(again, () => this.#settle(one.session_id)) }, "Retry now");
    return h(
      "li",
      { "data-refund": one.session_id },
      h("div", { class: "case-head" }, h("div", {}, h("strong", {}, one.reason), refundData(one, h("span", {}, "for ", age(one.age_s)))), h("div", { class: "buttons" }, again)),
      one.late && h("p", {}, pill("bad", "Late: promised within 30 s", "warn")),
      one.error && h("p", { class: "part-error" }, `Last try: ${one.error}`),
    );
  }

  #byHand(one) {
    const done = h("button", { class: "button", type: "button", onclick: () => busy(done, () => this.#resolve(one)) }, icon("check"), "Put right");
    return h("li", { "data-by-hand": one.session_id }, h("div", { class: "case-head" }, h("div", {}, h("strong", {}, one.why), refundData(one, h("span", {}, one.reason))), h("div", { class: "buttons" }, done)));
  }

  async #settle(session) {
    const left = await post("refunds/retry", session ? { query: { session } } : {});
    toast(left.settled.length ? `${plural(left.settled.length, "refund")} settled.` : "Not yet: the worker goes on trying.", left.settled.length ? "check" : "warn");
    this.#acted = true;
    this.#showRefunds(left);
  }

  async #resolve(one) {
    const sure = await confirm({ heading: "Has this charge been put right?", text: `Session ${one.session_id}: ${one.why}. It is not listed any more afterwards.`, action: "Yes, it is put right", danger: false });
    if (!sure) return;
    this.#acted = true;
    this.#showRefunds(await post(`refunds/${segment(one.session_id)}/resolve`));
    toast("Noted as put right.");
  }
}

/** The same document may lie there several times. */
function letterKey(letter) {
  return `${letter.id} ${letter.at}`;
}

function sessionLink(id) {
  return h("a", { class: "mono", href: `#/sessions/${segment(id)}` }, id);
}

function refundData(one, more) {
  return h("div", { class: "data" }, sessionLink(one.session_id), h("span", {}, one.channel), one.request_id && h("span", { class: "mono" }, one.request_id), more);
}

function readable(payload) {
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}
