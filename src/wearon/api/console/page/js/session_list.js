// The list of sessions: filtered, page by page, and searched by a part of an id. Its address can be sent to others.

import { get, segment } from "./api.js";
import { h, icon, put, show } from "./dom.js";
import { absolute, ago, clock, count, dollars, plural, precise, title } from "./format.js";
import { REASONS, busy, card, empty, failure, pill, skeleton, statusPill } from "./ui.js";

const STATUSES = ["waiting", "running", "retried", "completed", "failed", "stopped", "dead_letter", "ended_elsewhere"];
const SPANS = [["15m", "Last 15 minutes"], ["60m", "Last hour"], ["6h", "Last 6 hours"], ["1d", "Last day"]];
const CAUSES = [["retried:", "Retried at least once"], ["failed:", "Failed unexpectedly"], ["expected:", "Failed as expected"]];
const FIELDS = ["text", "status", "reason", "channel", "owner_id", "worker", "cause", "refund", "since", "until"];
const REFUNDS = {
  given_back: ["good", "Refunded", "check"],
  already_given_back: ["good", "Refunded", "check"],
  nothing_owed: ["", "Nothing owed"],
  by_hand: ["bad", "Refund needs review", "warn"],
  postponed: ["warn", "Refund outstanding", "warn"],
};

/** The address of a list: `{status: "failed", since: "60m"}`. */
export function listAddress(query) {
  const given = Object.entries(query).filter(([, value]) => value);
  return given.length ? `#/sessions?${new URLSearchParams(given)}` : "#/sessions";
}

export class SessionList {
  #gone = false;

  /** `query`: URLSearchParams of the address. `only(session)` is called when a text names just one session. */
  constructor({ query, only }) {
    this.only = only;
    this.query = Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
    this.rows = h("ul", { class: "hits" });
    this.foot = h("div", { class: "more" });
    this.card = h("div", {}, card("Sessions", null, skeleton(4)));
    this.element = h("div", { class: "results" }, this.#filters(), this.card);
    this.#begin();
  }

  destroy() {
    this.#gone = true;
  }

  #filters() {
    const select = (name, label, options) =>
      h(
        "div",
        { class: "field" },
        h("label", { for: `filter-${name}` }, label),
        h(
          "select",
          { id: `filter-${name}`, onchange: (event) => this.#go({ [name]: event.target.value }) },
          options.map(([value, text]) => h("option", { value, selected: value === this.query[name] }, text)),
        ),
      );
    const since = this.query.since && !SPANS.some(([span]) => span === this.query.since) ? [[this.query.since, moment(this.query.since)]] : [];
    const cause = this.query.cause && !CAUSES.some(([begin]) => begin === this.query.cause) ? [[this.query.cause, this.query.cause.replace(":", ": ")]] : [];
    const chips = [
      ["owner_id", "Store or user"],
      ["worker", "Worker"],
      ["refund", "Refund"],
      ["until", "Before"],
    ].filter(([name]) => this.query[name]);
    return [
      h(
        "div",
        { class: "filters" },
        select("status", "Status", [["", "All"], ...STATUSES.map((one) => [one, title(one)])]),
        select("reason", "Reason", [["", "All"], ...Object.entries(REASONS)]),
        select("cause", "Cause", [["", "All"], ...CAUSES, ...cause]),
        select("channel", "Channel", [["", "Both"], ["b2b", "b2b (stores)"], ["b2c", "b2c"]]),
        select("since", "Time", [["", "All that is kept"], ...SPANS, ...since]),
      ),
      chips.length > 0 && h("p", { class: "chips" }, chips.map(([name, label]) => h("button", { class: "button", type: "button", "aria-label": `Remove the filter ${label}`, onclick: () => this.#go({ [name]: "" }) }, this.#chip(name, label), icon("cross")))),
    ].filter(Boolean);
  }

  #chip(name, label) {
    const value = this.query[name];
    if (name === "refund" && REFUNDS[value]) return REFUNDS[value][1];
    return `${label}: ${name === "until" ? moment(value) : value}`;
  }

  #go(changes) {
    location.hash = listAddress({ ...this.query, ...changes });
  }

  async #begin() {
    try {
      const page = await this.#page("");
      if (this.#gone) return;
      if (this.query.text && page.sessions.length === 1 && !page.cursor && !FIELDS.slice(1).some((name) => this.query[name])) {
        this.only(page.sessions[0].session_id);
        return;
      }
      this.note = h("p");
      show(this.card, h("section", { class: "card" }, h("header", {}, h("h2", {}, this.query.text ? "Found" : "Newest first"), this.note), this.rows, this.foot));
      await this.#add(page);
    } catch (error) {
      if (!this.#gone) show(this.card, failure(error, () => this.#begin()));
    }
  }

  /** A page may hold few sessions, or none, because only so many lines are looked at in one go: then it goes on. */
  async #page(cursor) {
    return get("session-list", { ...this.query, cursor });
  }

  /** Show the page, and those behind it until there are fifty more. What is shown stays when one of them fails. */
  async #add(first) {
    let page = first;
    let added = 0;
    for (;;) {
      put(this.rows, page.sessions.map(row));
      added += page.sessions.length;
      show(this.note, page.kept ? `${plural(page.kept, "session")} ${kept(this.query, page)}` : "", this.query.cause?.startsWith("retried:") && " · each once, however often it was retried");
      if (!page.cursor || added >= 50) break;
      show(this.foot, h("p", { class: "muted", role: "status" }, page.searched_to ? `Looked through back to ${clock(page.searched_to, true)} …` : "Looking …"));
      const { cursor } = page;
      try {
        page = await this.#page(cursor);
      } catch (error) {
        show(this.foot, failure(error, () => this.#more(cursor)));
        return;
      }
      if (this.#gone) return;
    }
    const { cursor } = page;
    const more = h("button", { class: "button", type: "button", onclick: () => busy(more, () => this.#more(cursor)) }, "Show more");
    show(this.foot, cursor && more, !this.rows.firstChild && this.#nothing());
  }

  async #more(cursor) {
    const last = this.rows.lastElementChild;
    try {
      const page = await this.#page(cursor);
      if (this.#gone) return;
      await this.#add(page);
      last?.nextElementSibling?.querySelector("a")?.focus();
    } catch (error) {
      show(this.foot, failure(error, () => this.#more(cursor)));
    }
  }

  #nothing() {
    if (this.query.status === "waiting") return empty("check", "No session waits", "Each task starts at once.");
    return this.query.text
      ? empty("sessions", "No session has this id", "A part of an id, six characters or more, finds sessions whose attempts Redis remembers; older ones, and those that no worker has seen yet, are found by a whole id.")
      : empty("sessions", "No session", "Redis keeps a line of each session for JOURNAL_HOURS after its last attempt; with these filters there is none.");
  }
}

function row(line) {
  const facts = [
    line.reason && (REASONS[line.reason] ?? title(line.reason)),
    line.attempt > 1 && `attempt ${line.attempt}`,
    ...line.causes.filter((cause) => cause.startsWith("retried:")).map((cause) => cause.replace(":", " for ")),
    line.took_s !== null && precise(line.took_s),
    line.cost_usd !== null && dollars(line.cost_usd),
    line.model,
    line.request_id,
  ].filter(Boolean);
  return h(
    "li",
    {},
    h("a", { href: `#/sessions/${segment(line.session_id)}` }, h("span", { class: "mono" }, line.session_id)),
    h("span", { class: "pills" }, statusPill(line.status), line.refund && pill(...(REFUNDS[line.refund] ?? ["", title(line.refund)]))),
    h("span", { class: "muted small" }, ago(line.at), " · ", h("a", { href: listAddress({ owner_id: line.owner_id }), title: line.owner_id }, `${line.channel === "b2b" ? "store" : "user"} ${line.owner_id.slice(0, 8)}`), facts.map((fact) => ` · ${fact}`)),
    line.shopper_read && h("span", { class: "message" }, line.shopper_read),
  );
}

function kept({ status }, { kept_since }) {
  return status === "waiting" || status === "running" ? status : `kept, since ${absolute(kept_since ?? new Date())}`;
}

function moment(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? text : `${at.toLocaleDateString("en-GB")} ${clock(text, true)}`;
}
