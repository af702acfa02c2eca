// Dead letters and refunds: what needs an operator. Same functions as `wearon dead-letters` and `wearon refunds`.

import { acting, mayAct, READ_ONLY } from "../acting.js";
import { get, inTurn, post, segment } from "../api.js";
import { auditLogCard } from "../audit_log.js";
import { h, icon, keep, redraw, say, show } from "../dom.js";
import { absolute, age, ago, clock, count, plural } from "../format.js";
import { busy, card, confirm, copyButton, empty, facts, failure, pill, skeleton, toast } from "../ui.js";

const FEW = 10; // letters that are shown at once, without opening their groups
const PAGE = 25; // letters of an open group that are shown at once
const REFUNDS = 100; // of each kind, the oldest
const STEPS = 200; // parts of a group, at most: each ends 200 letters or more, and there are 10,000

export class ActionsView {
  #gone = false;
  #seen = null;
  #acted = false;
  #failed = { letters: false, refunds: false };
  // Counting thousands takes the worker a second or more: it is asked again only when it has answered.
  #loadLetters = inTurn(() => this.#readLetters());
  #loadRefunds = inTurn(() => this.#readRefunds());

  constructor({ main }) {
    this.main = main;
    this.letters = h("div");
    this.refunds = h("div");
    show(main, h("div", { class: "headline" }, h("h1", {}, "Dead letters & refunds"), h("p", {}, mayAct() ? "What the worker could not do by itself." : READ_ONLY)), this.refunds, this.letters, auditLogCard());
    show(this.letters, card("Dead letters", null, skeleton(3)));
    show(this.refunds, card("Refunds", null, skeleton(3)));
    this.#loadLetters();
    this.#loadRefunds();
  }

  /** Lists are read anew when their lengths have changed, or could not be read, not every two seconds. */
  update({ queues }) {
    if (!queues) return;
    const seen = [queues.dead_letters, queues.refunds, queues.refunds_by_hand];
    const before = this.#seen;
    this.#seen = seen;
    if (!before) return;
    if (seen[0] !== before[0] || this.#failed.letters) this.#loadLetters();
    if (seen[1] !== before[1] || seen[2] !== before[2] || this.#failed.refunds) this.#loadRefunds();
  }

  destroy() {
    this.#gone = true;
  }

  async #readLetters() {
    if (this.#gone) return;
    try {
      const groups = await get("dead-letters/groups");
      this.#failed.letters = false;
      if (!this.#gone) this.#showGroups(groups);
    } catch (error) {
      this.#failed.letters = true;
      if (!this.#gone) redraw(this.letters, card("Dead letters", null, failure(error, () => this.#loadLetters())));
    }
  }

  async #readRefunds() {
    if (this.#gone) return;
    try {
      const cases = await get("refunds", { limit: REFUNDS });
      this.#failed.refunds = false;
      this.#showRefunds(cases);
    } catch (error) {
      this.#failed.refunds = true;
      if (!this.#gone) redraw(this.refunds, card("Refunds", null, failure(error, () => this.#loadRefunds())));
    }
  }

  /** What is refused was done elsewhere, or half of it here: the lists are old. */
  #act(button, work) {
    return busy(button, async () => {
      try {
        await work();
      } catch (error) {
        this.#loadLetters();
        this.#loadRefunds();
        throw error;
      }
    });
  }

  #showGroups({ letters, usable, groups }) {
    const rest = letters - groups.reduce((total, group) => total + group.letters, 0);
    const words = letters ? `${count(letters)}, of which ${count(usable)} can be retried` : "documents that could not become a picture";
    if (!this.list?.isConnected || !letters) {
      this.list = h("ul", { class: "cases" });
      this.words = h("p");
      this.rest = h("p", { class: "muted" });
      const content = letters ? [this.list, this.rest] : empty("check", "No dead letters", "A document lands here when no session can be charged with it: not JSON, a version that this worker does not know, another owner's session. You can read it, push it again or forget it.");
      show(this.letters, h("section", { class: "card" }, h("header", {}, h("h2", {}, "Dead letters"), this.words), content));
    }
    say(this.words, words);
    say(this.rest, rest ? `${plural(rest, "dead letter")} in smaller groups: they are shown when these are done.` : "");
    keep(this.list, groups, (group) => group.id, (group) => this.#group(group, letters <= FEW));
    this.#keepFocus();
  }

  /** The button that was pressed may have gone with its line: keyboard users go on from the top. */
  #keepFocus() {
    if (!this.#acted || document.activeElement !== document.body) return;
    this.#acted = false;
    const heading = this.main.querySelector("h1");
    heading.setAttribute("tabindex", "-1");
    heading.focus({ preventScroll: true });
  }

  #group(first, open) {
    let group = first;
    const number = h("strong", {});
    const data = h("div", { class: "data" });
    const letters = new LetterPage(group.id, (letter) => this.#letter(letter));
    const details = h("details", { open }, h("summary", {}, "Read them"), letters.element);
    details.addEventListener("toggle", () => details.open && letters.load());
    const again = h("button", { class: "button", type: "button", onclick: () => this.#act(again, () => this.#retryGroup(group)) }, "Retry");
    const drop = h("button", { class: "button danger", type: "button", onclick: () => this.#act(drop, () => this.#discardGroup(group)) }, "Discard all");
    const element = h(
      "li",
      { "data-group": group.id },
      h("div", { class: "case-head" }, h("div", {}, number, data), h("div", { class: "buttons" }, acting(again, drop))),
      facts([["To do", group.advice.operator]]),
      h("p", { class: "muted" }, "Reason: ", group.reason),
      details,
    );
    element.update = (fresh) => {
      const changed = fresh.letters !== group.letters || fresh.last_at !== group.last_at;
      group = fresh;
      say(number, `${count(group.letters)} x ${group.version ? `version ${group.version}: ` : ""}${group.advice.headline}`);
      show(data, h("span", {}, "first seen ", clockTime(group.first_at)), h("span", {}, "last ", ago(group.last_at)), h("span", {}, group.usable ? `${count(group.usable)} can be retried` : "none can be retried: they would come back at once"));
      again.hidden = group.usable === 0;
      say(again, group.usable === 1 ? "Retry" : `Retry ${count(group.usable)}`);
      say(drop, group.letters === 1 ? "Discard" : `Discard all ${count(group.letters)}`);
      if (changed && details.open) letters.load();
    };
    return element;
  }

  #letter(letter) {
    const document = h("div");
    const details = h("details", {}, h("summary", {}, "Read the document"), document);
    details.addEventListener("toggle", () => details.open && !document.firstChild && this.#read(letter.id, document));
    const again = letter.usable && h("button", { class: "button small", type: "button", "aria-label": `Retry ${letter.id}`, onclick: () => this.#act(again, () => this.#retry(letter)) }, "Retry");
    const drop = h("button", { class: "button small danger", type: "button", "aria-label": `Discard ${letter.id}`, onclick: () => this.#act(drop, () => this.#discard(letter)) }, "Discard");
    return h(
      "li",
      { "data-letter": letter.id },
      h(
        "div",
        { class: "case-head" },
        h("div", { class: "data" }, h("span", { class: "mono" }, letter.id), ago(letter.at), letter.session_id && sessionLink(letter.session_id), letter.request_id && h("span", { class: "mono" }, letter.request_id)),
        h("div", { class: "buttons" }, copyButton(letter.id, "Copy"), acting(again, drop)),
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

  /** The dry run first: what would come back at once stays where it is. */
  async #retryGroup(group) {
    const would = await inParts("dead-letters/groups/retry", { group: group.id, dry_run: true });
    if (!would.pushed) {
      toast(`Nothing to push: ${stays(would)}.`, "warn");
      return;
    }
    const rest = stays(would);
    const sure = await confirm({ heading: `Push ${plural(would.pushed, "document")} again?`, text: `They are pushed like new tasks.${rest ? ` The others stay: ${rest}.` : " None would come back at once."}`, action: `Retry ${count(would.pushed)}`, danger: false });
    if (!sure) return;
    this.#acted = true;
    const done = await inParts("dead-letters/groups/retry", { group: group.id });
    toast(`${plural(done.pushed ?? 0, "document was", "documents were")} pushed again.`);
    await this.#loadLetters();
  }

  async #discardGroup(group) {
    const sure = await confirm({ heading: `Discard ${plural(group.letters, "dead letter")}?`, text: `${group.advice.headline} They are forgotten for good; their sessions are not touched.`, action: `Discard ${count(group.letters)}` });
    if (!sure) return;
    this.#acted = true;
    const done = await inParts("dead-letters/groups/discard", { group: group.id, until: group.last_at });
    toast(`${plural(done.discarded ?? 0, "dead letter was", "dead letters were")} discarded.`);
    await this.#loadLetters();
  }

  #showRefunds({ outstanding, by_hand, groups }) {
    if (this.#gone) return;
    redraw(
      this.refunds,
      h(
        "div",
        { class: "grid" },
        h(
          "section",
          { class: by_hand.length ? "card w6" : "card" },
          h("header", {}, h("h2", {}, "Outstanding refunds"), h("p", {}, listedOf(outstanding, groups, false) || (outstanding.length ? "tried until they succeed" : null))),
          outstanding.length ? [this.#refundGroups(groups, false), h("ul", { class: "cases" }, outstanding.map((one) => this.#outstanding(one)))] : empty("coin", "No refund is outstanding", "A failed generation gives its credit back exactly once, within 30 seconds. What the platform does not take at once waits here and is tried until it succeeds."),
        ),
        by_hand.length > 0 && h("section", { class: "card w6" }, h("header", {}, h("h2", {}, "Need review"), h("p", {}, listedOf(by_hand, groups, true) || "cannot be refunded as credit")), this.#refundGroups(groups, true), h("ul", { class: "cases" }, by_hand.map((one) => this.#byHand(one)))),
      ),
    );
    this.#keepFocus();
  }

  /** Many of one cause, with one button for them. */
  #refundGroups(groups, needsReview) {
    const many = groups.filter((group) => group.needs_review === needsReview && group.refunds > 1);
    return many.length > 0 && h("ul", { class: "cases groups" }, many.map((group) => this.#refundGroup(group)));
  }

  #refundGroup(group) {
    const act = () => (group.needs_review ? this.#resolveGroup(group) : this.#settle({ group: group.id }));
    const button = h("button", { class: "button", type: "button", onclick: () => this.#act(button, act) }, group.needs_review ? `Put right, all ${count(group.refunds)}` : `Retry ${count(group.refunds)} now`);
    return h("li", { "data-refund-group": group.id }, h("div", { class: "case-head" }, h("div", {}, h("strong", {}, `${count(group.refunds)} x ${group.cause || "not tried yet"}`), h("div", { class: "data" }, h("span", {}, "first at ", clockTime(group.first_at)), group.late > 0 && h("span", {}, `${count(group.late)} late`))), h("div", { class: "buttons" }, acting(button))));
  }

  #outstanding(one) {
    const again = h("button", { class: "button", type: "button", onclick: () => this.#act(again, () => this.#settle({ session: one.session_id })) }, "Retry now");
    return h(
      "li",
      { "data-refund": one.session_id },
      h("div", { class: "case-head" }, h("div", {}, h("strong", {}, one.reason), refundData(one, h("span", {}, "for ", age(one.age_s)))), h("div", { class: "buttons" }, acting(again))),
      one.late && h("p", {}, pill("bad", "Late: promised within 30 s", "warn")),
      one.error && h("p", { class: "component-error" }, `Last error: ${one.error}`),
    );
  }

  #byHand(one) {
    const done = h("button", { class: "button", type: "button", onclick: () => this.#act(done, () => this.#resolve(one)) }, icon("check"), "Put right");
    return h("li", { "data-by-hand": one.session_id }, h("div", { class: "case-head" }, h("div", {}, h("strong", {}, one.why), refundData(one, h("span", {}, one.reason))), h("div", { class: "buttons" }, acting(done))));
  }

  /** A hundred at once, again and again as long as some are settled. */
  async #settle(which) {
    let settled = 0;
    let left;
    do {
      left = await post("refunds/retry", { query: { ...which, limit: REFUNDS } });
      settled += left.settled.length;
    } while (which.group && left.settled.length === REFUNDS && left.groups.some((group) => group.id === which.group));
    toast(settled ? `${plural(settled, "refund")} settled.` : "Not yet: the worker goes on trying.", settled ? "check" : "warn");
    this.#acted = true;
    this.#showRefunds(left);
  }

  async #resolve(one) {
    const sure = await confirm({ heading: "Has this charge been put right?", text: `Session ${one.session_id}: ${one.why}. It is not listed any more afterwards.`, action: "Yes, it is put right", danger: false });
    if (!sure) return;
    this.#acted = true;
    this.#showRefunds(await post(`refunds/${segment(one.session_id)}/resolve`, { query: { limit: REFUNDS } }));
    toast("Noted as put right.");
  }

  async #resolveGroup(group) {
    const sure = await confirm({ heading: `Have these ${count(group.refunds)} charges been put right?`, text: `${group.cause}. They are not listed any more afterwards.`, action: "Yes, all are put right", danger: false });
    if (!sure) return;
    this.#acted = true;
    this.#showRefunds(await post("refunds/resolve", { query: { group: group.id, seen: group.refunds, limit: REFUNDS } }));
    toast("Noted as put right.");
  }
}

/** The letters of one group, page by page. */
class LetterPage {
  #skip = 0;
  load = inTurn(() => this.#read());

  constructor(group, make) {
    this.group = group;
    this.make = make;
    this.list = h("ul", { class: "cases" });
    this.newer = h("button", { class: "button small", type: "button", onclick: () => this.#turn(-PAGE) }, "Newer");
    this.older = h("button", { class: "button small", type: "button", onclick: () => this.#turn(PAGE) }, "Older");
    this.where = h("span", { class: "muted small num", role: "status" });
    this.element = h("div", {}, this.list, h("p", { class: "buttons pager" }, this.newer, this.where, this.older));
  }

  #turn(by) {
    this.#skip = Math.max(0, this.#skip + by);
    return this.load();
  }

  async #read() {
    try {
      // One more than is shown says whether there are older ones.
      const found = await get("dead-letters", { group: this.group, skip: this.#skip, limit: PAGE + 1 });
      if (!found.length && this.#skip) {
        this.#skip = Math.max(0, this.#skip - PAGE);
        return await this.#read();
      }
      keep(this.list, found.slice(0, PAGE), (letter) => `${letter.id} ${letter.at}`, this.make);
      this.newer.disabled = this.#skip === 0;
      this.older.disabled = found.length <= PAGE;
      say(this.where, found.length ? `${count(this.#skip + 1)} to ${count(this.#skip + Math.min(found.length, PAGE))}` : "");
    } catch (error) {
      show(this.list, h("li", {}, failure(error, () => this.load())));
    }
    return undefined;
  }
}

/** Do all parts of a group; how many letters had which fate. */
async function inParts(path, query) {
  const counts = {};
  let passed = 0;
  for (let part = 0; passed !== null && part < STEPS; part += 1) {
    const step = await post(path, { query: { ...query, passed } });
    for (const { fate } of step.letters) counts[fate] = (counts[fate] ?? 0) + 1;
    passed = step.passed;
  }
  return counts;
}

function stays({ no_task, no_session, ended }) {
  return [no_task && `${count(no_task)} cannot become a task`, no_session && `${count(no_session)} would come back at once, because the session is not there`, ended && `${count(ended)} would change nothing, because the session has ended`].filter(Boolean).join("; ");
}

function listedOf(listed, groups, needsReview) {
  const all = groups.filter((group) => group.needs_review === needsReview).reduce((total, group) => total + group.refunds, 0);
  return all > listed.length ? `the ${count(listed.length)} oldest of ${count(all)}` : "";
}

function clockTime(iso) {
  return h("time", { datetime: iso, title: absolute(iso) }, clock(iso));
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
