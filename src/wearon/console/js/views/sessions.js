// Sessions: find one, and read why it ended as it did and where its credit is.

import { get, post, segment } from "../api.js";
import { h, icon, show } from "../dom.js";
import { absolute, ago, clock, count, dollars, duration, plural, title } from "../format.js";
import { timeline } from "../timeline.js";
import { busy, card, empty, facts, failure, notice, pill, skeleton, statusPill } from "../ui.js";

const FINAL = new Set(["completed", "failed"]);

const REFUNDS = {
  not_owed: ["", "Nothing owed"],
  outstanding: ["warn", "Outstanding"],
  given_back: ["good", "Given back"],
  by_hand: ["bad", "Needs a person"],
  not_seen: ["bad", "Not seen"],
};

export class SessionsView {
  #asked = 0;

  constructor({ main, rest }) {
    const [what, term] = rest;
    this.main = main;
    this.content = h("div", { class: "results" });
    this.input = h("input", { type: "search", id: "term", name: "term", autocomplete: "off", spellcheck: "false", placeholder: "An id, such as req_… or a uuid" });
    const form = h(
      "form",
      { class: "search", role: "search", onsubmit: (event) => this.#search(event) },
      h("div", { class: "field" }, h("label", { for: "term" }, "Session, request, user or store id"), this.input),
      h("button", { class: "button primary", type: "submit" }, icon("sessions"), "Find"),
    );
    show(main, h("div", { class: "headline" }, h("h1", {}, "Sessions"), h("p", {}, "Why did this one fail, and did they get the credit back?")), form, this.content);
    if (what === "find" && term) {
      this.input.value = term;
      this.#find(term);
    } else if (what) {
      this.id = what;
      this.input.value = what;
      this.#tell();
    } else {
      show(this.content, card("Recent searches are not kept", null, empty("sessions", "Look for a session", "Paste the id from a support ticket, a log line or the shop's admin: a session, a request (req_…), a user or a store. You get its time line, its log, its pictures and its refund.")));
    }
  }

  /** The overview has moved on: an open session may have, too. */
  update() {
    if (this.id && this.story && !FINAL.has(this.story.session.status)) this.#tell();
  }

  destroy() {
    this.#asked += 1;
  }

  #search(event) {
    event.preventDefault();
    const term = this.input.value.trim();
    if (!term) return;
    const to = `#/sessions/find/${segment(term)}`;
    if (location.hash === to) this.#find(term);
    else location.hash = to;
  }

  async #find(term) {
    const asked = ++this.#asked;
    show(this.content, card("Looking", null, skeleton(3)));
    try {
      const hits = await get("sessions", { term });
      if (asked !== this.#asked) return;
      if (hits.length === 1) {
        location.replace(`#/sessions/${segment(hits[0].session_id)}`);
        return;
      }
      show(this.content, hits.length ? hitList(hits) : card("Nothing found", null, empty("sessions", "No session has this id", "Is it complete? Ids are looked up as a whole, not by their beginning. A b2c session is found by its request id only while Redis remembers it.")));
    } catch (error) {
      if (asked === this.#asked) show(this.content, failure(error, () => this.#find(term)));
    }
  }

  async #tell() {
    const asked = ++this.#asked;
    if (!this.story) show(this.content, card("Session", null, skeleton(6)));
    try {
      const story = await get(`sessions/${segment(this.id)}`);
      if (asked !== this.#asked) return;
      const text = JSON.stringify(story);
      if (text === this.shown) return;
      this.shown = text;
      const signed = this.story ? this.pictures : null;
      this.story = story;
      this.pictures = signed ?? new PictureShelf(story.session.session_id);
      show(this.content, storyOf(story, this.pictures));
    } catch (error) {
      if (asked !== this.#asked || this.story) return;
      show(this.content, error.status === 404 ? card("Session", null, empty("sessions", "There is no such session", "It may be another environment's. Try to find it by its request, user or store id.")) : failure(error, () => this.#tell()));
    }
  }
}

function hitList(hits) {
  return card(
    plural(hits.length, "session"),
    hits.length === 50 ? "the 50 newest" : "newest first",
    h(
      "ul",
      { class: "hits" },
      hits.map((hit) =>
        h(
          "li",
          {},
          h(
            "a",
            { href: `#/sessions/${segment(hit.session_id)}` },
            h("span", { class: "mono" }, hit.session_id),
            statusPill(hit.status),
            h("span", { class: "muted small" }, `${hit.channel} · `, ago(hit.created_at), hit.request_id && ` · ${hit.request_id}`),
            hit.error_message && h("span", { class: "message" }, hit.error_message),
          ),
        ),
      ),
    ),
  );
}

function storyOf(story, pictures) {
  const { session } = story;
  return [
    h("div", { class: "verdict" }, whatHappened(story), theCredit(story)),
    card("Time line", story.events.length ? `began ${absolute(story.events[0].at)}` : null, story.events.length ? timeline(story.events, FINAL.has(session.status)) : empty("now", "No steps are kept", "Redis keeps the steps of a session for a while only; the row above is all that is left.")),
    card("Pictures", "signed when you ask, for a short time", pictures.element(story.pictures)),
    card(
      "The row",
      null,
      facts([
        ["Session", h("span", { class: "mono" }, session.session_id)],
        ["Request", session.request_id && h("span", { class: "mono" }, session.request_id)],
        [session.channel === "b2b" ? "Store" : "User", h("a", { class: "mono", href: `#/sessions/find/${segment(session.owner_id)}` }, session.owner_id)],
        ["Channel", session.channel],
        ["Created", [absolute(session.created_at), h("span", { class: "muted" }, " · ", ago(session.created_at))]],
        ["Completed", session.completed_at && [absolute(session.completed_at), h("span", { class: "muted" }, " · ", ago(session.completed_at))]],
        ["Credits", count(story.credits_used)],
        ["Processing time", story.processing_time_ms !== null ? duration(story.processing_time_ms / 1000) : null],
        ["Tokens", story.input_tokens !== null ? `${count(story.input_tokens)} in, ${count(story.output_tokens ?? 0)} out` : null],
        ["Image model", story.model && h("span", { class: "mono" }, story.model)],
        ["Estimated cost", story.estimated_cost_usd !== null ? dollars(story.estimated_cost_usd) : null],
      ]),
    ),
    card("Log", story.log.length ? plural(story.log.length, "line") : null, story.log.length ? logLines(story.log) : empty("desk", "No log lines are kept", "Look for its request id where your logs are collected.")),
  ];
}

function whatHappened({ session, where, reason }) {
  const kind = { completed: "good", failed: "bad" }[session.status] ?? "accent";
  return h(
    "section",
    { class: `card ${kind}` },
    h("h2", { class: "question" }, FINAL.has(session.status) ? "What happened?" : "Where is it?"),
    h("p", {}, statusPill(session.status)),
    h("p", { class: "answer" }, where),
    reason && h("p", {}, h("span", { class: "muted" }, "Reason: "), reason),
    session.error_message && h("p", { class: "muted" }, "The shopper reads: “", session.error_message, "”"),
  );
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
    refund.last_error && h("p", { class: "part-error" }, `Last try: ${refund.last_error}`),
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

/** Pictures that stay in place while the story around them is told anew. */
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
      picture.addEventListener("error", () => show(frame, "The picture could not be loaded."));
      show(frame, picture);
      const link = h("a", { class: "button", href: url, target: "_blank", rel: "noreferrer" }, "Open in full size");
      button.replaceWith(link);
      link.focus();
    };
    return h("figure", { class: "picture" }, h("figcaption", {}, h("strong", {}, ref.label)), frame, ref.available && button);
  }
}
