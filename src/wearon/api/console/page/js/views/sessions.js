// Sessions: find one, and read why it ended as it did and where its credit is.

import { get, inTurn, post, segment } from "../api.js";
import { h, icon, redraw, say, show } from "../dom.js";
import { absolute, ago, clock, count, dollars, duration, now, plural, title } from "../format.js";
import { whatHappened } from "../reason.js";
import { SessionList, listAddress } from "../session_list.js";
import { timeline } from "../timeline.js";
import { busy, card, empty, facts, failure, notice, pill, skeleton, statusPill } from "../ui.js";

const FINAL = new Set(["completed", "failed"]);

const MAX_TEXT = 2000;

const JUST_NOW_MS = 15_000;

const REFUNDS = {
  not_owed: ["", "Nothing owed"],
  outstanding: ["warn", "Outstanding"],
  given_back: ["good", "Given back"],
  by_hand: ["bad", "Needs review"],
  not_seen: ["bad", "Not seen"],
};

export class SessionsView {
  #gone = false;
  #tell = inTurn(() => this.#read()); // a slow line must not be overtaken by the next change

  constructor({ main, rest, query, setTitle }) {
    this.setTitle = setTitle;
    const [what, term] = rest;
    this.main = main;
    this.content = h("div", { class: "results" });
    this.trouble = h("p", { class: "notice warn", role: "status", hidden: true });
    this.input = h("input", { type: "search", id: "term", name: "term", autocomplete: "off", spellcheck: "false", placeholder: "An id, a part of one, or the text around it" });
    const form = h(
      "form",
      { class: "search", role: "search", onsubmit: (event) => this.#search(event) },
      h("div", { class: "field" }, h("label", { for: "term" }, "Session, request, user or store id"), this.input),
      h("button", { class: "button primary", type: "submit" }, icon("sessions"), "Find"),
    );
    show(main, h("div", { class: "headline" }, h("h1", {}, "Sessions"), h("p", {}, "Why did this one fail, and was the credit refunded?")), form, this.trouble, this.content);
    if (what === "find" && term) {
      location.replace(listAddress({ text: term })); // as older links have it
    } else if (what) {
      this.id = what;
      this.input.value = what;
      this.#tell();
    } else {
      this.input.value = query.get("text") ?? "";
      this.list = new SessionList({ query, only: (id) => location.replace(`#/sessions/${segment(id)}`) });
      setTitle(["Sessions", ...["status", "reason", "cause", "text"].map((name) => query.get(name))].filter(Boolean).join(" "));
      show(this.content, this.list.element);
    }
  }

  /** The status has changed: an open session may have changed, too, and the history of one that has just ended. */
  update() {
    if (this.id && this.history && (!FINAL.has(this.history.session.status) || this.#hasJustEnded())) this.#tell();
  }

  /** The row ends before the history of the attempt is written, and before a late refund. */
  #hasJustEnded() {
    const { completed_at } = this.history.session;
    return completed_at !== null && now() - new Date(completed_at).getTime() < JUST_NOW_MS;
  }

  destroy() {
    this.#gone = true;
    this.list?.destroy();
  }

  #search(event) {
    event.preventDefault();
    const text = this.input.value.trim().slice(0, MAX_TEXT);
    const to = listAddress({ ...this.list?.query, text });
    if (location.hash === to) window.dispatchEvent(new Event("hashchange"));
    else location.hash = to;
  }

  async #read() {
    if (this.#gone) return;
    if (!this.history) show(this.content, card("Session", null, skeleton(6)));
    try {
      const history = await get(`sessions/${segment(this.id)}`);
      if (this.#gone) return;
      this.trouble.hidden = true;
      const text = JSON.stringify(history);
      if (text === this.shown) return;
      this.shown = text;
      const signed = this.history ? this.pictures : null;
      this.history = history;
      this.pictures = signed ?? new PictureShelf(history.session.session_id);
      this.setTitle(`${history.session.session_id.slice(0, 8)} ${history.session.status}`);
      redraw(this.content, historyOf(history, this.pictures));
    } catch (error) {
      if (this.#gone) return;
      if (this.history) {
        this.trouble.hidden = false;
        say(this.trouble, `What is shown may be old: ${error.message}`);
        return;
      }
      show(this.content, error.status === 404 ? card("Session", null, empty("sessions", "There is no such session", "It may be another environment's. Try to find it by its request, user or store id.")) : failure(error, () => this.#tell()));
    }
  }
}

function historyOf(history, pictures) {
  const { session } = history;
  return [
    h("div", { class: "verdict" }, whatHappened(history), theCredit(history)),
    card("Time line", history.events.length ? `began ${absolute(history.events[0].at)}` : null, history.events.length ? timeline(history.events, FINAL.has(session.status)) : empty("now", "No steps are kept", "Redis keeps the steps of a session for a while only; the row above is all that is left.")),
    card("Pictures", "signed when you ask, for a short time", pictures.element(history.pictures)),
    card(
      "The row",
      null,
      facts([
        ["Session", h("span", { class: "mono" }, session.session_id)],
        ["Request", session.request_id && h("span", { class: "mono" }, session.request_id)],
        [session.channel === "b2b" ? "Store" : "User", h("a", { class: "mono", href: listAddress({ text: session.owner_id }) }, session.owner_id)],
        ["Channel", session.channel],
        ["Created", [absolute(session.created_at), h("span", { class: "muted" }, " · ", ago(session.created_at))]],
        ["Completed", session.completed_at && [absolute(session.completed_at), h("span", { class: "muted" }, " · ", ago(session.completed_at))]],
        ["Credits", count(history.credits_used)],
        ["Processing time", history.processing_time_ms !== null ? duration(history.processing_time_ms / 1000) : null],
        ["Tokens", history.input_tokens !== null ? `${count(history.input_tokens)} in, ${count(history.output_tokens ?? 0)} out` : null],
        ["Image model", history.model && h("span", { class: "mono" }, history.model)],
        ["Estimated cost", history.estimated_cost_usd !== null ? dollars(history.estimated_cost_usd) : null],
      ]),
    ),
    card("Log", history.log.length ? plural(history.log.length, "line") : null, history.log.length ? logLines(history.log) : empty("desk", "No log lines are kept", "Look for its request id where your logs are collected.")),
  ];
}

function theCredit({ refund, session }) {
  const [kind, word] = REFUNDS[refund.state] ?? ["", title(refund.state)];
  const open = refund.state === "not_owed";
  return h(
    "section",
    { class: `card ${kind}` },
    h("h2", { class: "question" }, session.status === "failed" ? "Did they get the credit back?" : "Where is the credit?"),
    h("p", {}, pill(kind, word, kind === "good" ? "check" : kind ? "warn" : "coin")),
    h("p", { class: "answer" }, refund.sentence || (open ? "No credit is owed." : "")),
    refund.last_error && h("p", { class: "component-error" }, `Last error: ${refund.last_error}`),
    refund.evidence.length > 0 && h("ul", { class: "evidence", "aria-label": "Lines of the credit ledger" }, refund.evidence.map((line) => h("li", {}, pill(line.type === "refund" ? "good" : "", line.type), h("span", {}, line.description)))),
    (refund.state === "outstanding" || refund.state === "by_hand") && h("p", {}, h("a", { href: "#/desk" }, "Go to refunds")),
  );
}

function logLines(lines) {
  return h(
    "ol",
    { class: "log" },
    lines.map((line) =>
      h(
        "li",
        { class: line.level },
        h("time", { class: "muted", datetime: line.at, title: absolute(line.at) }, clock(line.at, true)),
        h("span", { class: "level" }, line.level),
        h("span", { class: "event" }, line.event, h("span", { class: "fields" }, Object.entries(line.fields).map(([name, value]) => `  ${name}=${value}`))),
      ),
    ),
  );
}

/** Put one in the place of the other, with its focus. */
function swap(old, fresh) {
  const hadFocus = document.activeElement === old;
  old.replaceWith(fresh);
  if (hadFocus) fresh.focus();
}

/** Pictures that stay in place while the history around them is drawn anew. */
class PictureShelf {
  #tiles = new Map();

  constructor(session) {
    this.session = session;
  }

  element(refs) {
    if (!refs.length) return empty("image", "No pictures are known", "A task's picture addresses are kept as long as its steps are.");
    return h("div", { class: "pictures" }, refs.map((ref) => this.#tile(ref)));
  }

  #tile(ref) {
    const key = JSON.stringify(ref);
    if (!this.#tiles.has(key)) this.#tiles.set(key, this.#make(ref));
    return this.#tiles.get(key);
  }

  #make(ref) {
    const why = ref.where ? `It lies at ${ref.where}, not in our storage.` : "It is not there (yet).";
    const frame = h("div", { class: "frame" }, ref.available ? icon("image") : why);
    const button = h("button", { class: "button", type: "button", onclick: () => busy(button, reveal) }, `Show ${ref.label.toLowerCase()}`);
    const reveal = async () => {
      const { url } = await post(`sessions/${segment(this.session)}/pictures/${ref.name.split("/").map(segment).join("/")}`);
      const picture = h("img", { src: url, alt: ref.label });
      const link = h("a", { class: "button", href: url, target: "_blank", rel: "noreferrer" }, "Open in full size");
      picture.addEventListener("error", () => {
        show(frame, "The picture could not be loaded.");
        swap(link, button); // a new address may do better: this one has expired, or the line broke
      });
      show(frame, picture);
      swap(button, link);
    };
    return h("figure", { class: "picture" }, h("figcaption", {}, h("strong", {}, ref.label)), frame, ref.available && button);
  }
}
