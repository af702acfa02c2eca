// Incidents as cards: what broke, whom it costs, what to do, and the buttons that do it.

import { mayAct } from "./acting.js";
import { post } from "./api.js";
import { h, icon, keep, show } from "./dom.js";
import { ago, clock, count, dollars, duration, now, plural } from "./format.js";
import { listAddress } from "./session_list.js";
import { busy, pill, toast } from "./ui.js";

/** A list that follows the status. It is announced to screen readers when it changes. */
export class IncidentCards {
  element = h("div", { class: "incidents", "aria-live": "polite" });
  #active = h("ul");
  #over = h("ul");

  constructor() {
    this.element.append(this.#active, this.#over);
  }

  update({ incidents, recovered }) {
    keep(this.#active, incidents, keyOf, incidentCard);
    keep(this.#over, recovered, keyOf, recoveredLine);
    this.element.hidden = incidents.length + recovered.length === 0;
  }
}

function keyOf({ code, tenant, model, component, recovered_at }) {
  return [code, tenant, model, component, recovered_at !== null].join(" ");
}

function incidentCard(first) {
  const heading = h("h2");
  const facts = h("p", { class: "muted small" });
  const detail = h("p", { class: "detail" });
  const buttons = h("div", { class: "buttons" });
  const mark = h("span");
  const advice = h("dl", { class: "facts" }, h("dt", {}, "What to do"), h("dd", {}, marked(first.what_to_do)), h("dt", {}, "If nothing is done"), h("dd", {}, marked(first.if_nothing_is_done)));
  const element = h("li", { "data-incident": first.code }, h("div", { class: "top" }, heading, mark), facts, detail, advice, buttons);
  element.update = (incident) => {
    once(element, "title", incident.title, () => show(heading, incident.title));
    once(element, "detail", incident.detail, () => show(detail, withSessions(sentence(incident.detail))));
    detail.hidden = !incident.detail;
    once(element, "severity", incident.severity, () => {
      element.className = `card incident ${incident.severity}`;
      show(mark, incident.severity === "critical" ? pill("bad", "Critical", "warn") : pill("warn", "Warning", "warn"));
    });
    once(element, "facts", incident, () => show(facts, "began ", ago(incident.since), linked(extent(incident)), " · ", h("span", { class: "mono" }, incident.code)), (one) => [one.since, extent(one)]);
    const actions = incident.actions.filter((one) => !one.call || mayAct());
    once(element, "actions", actions, () => show(buttons, actions.map(actionButton)));
    buttons.hidden = !actions.length;
  };
  return element;
}

function recoveredLine(first) {
  const text = h("div");
  const element = h("li", { class: "notice good", "data-recovered": first.code }, icon("check"), text);
  // What it cost, and when it was refused last, is known moments after its end.
  element.update = (incident) => once(element, "facts", incident, () => show(text, h("strong", {}, `${recovery(incident)}: `), incident.title, linked(extent(incident), " Until then: ")));
  return element;
}

const SERVICES = { redis: "Redis", supabase: "Supabase", openai: "OpenAI", machine: "the machine" };

/** "Recovered 22:31, 12 s after Supabase came back; it lasted 2 min" */
function recovery({ code, since, recovered_at, last_refused_at, answered_again_at }) {
  const until = (moment) => duration((new Date(recovered_at) - new Date(moment)) / 1000);
  const back = answered_again_at && `, ${until(answered_again_at)} after ${SERVICES[code.split("_")[0]] ?? "it"} came back`;
  const after = back || (last_refused_at ? `, ${until(last_refused_at)} after the last refusal` : "");
  return `Recovered ${clock(recovered_at)}${after}; it lasted ${until(since)}`;
}

/** So many of how many, and what it has cost: texts, and `[text, address]` where sessions are counted. */
function extent(incident) {
  const { affected, of, what, cost, workers, recovered_at } = incident;
  const parts = [];
  const lately = !recovered_at && isOld(incident) ? " within the hour" : ""; // longer ago is not counted
  if (affected !== null) parts.push([`${count(affected)}${of === null ? "" : ` of ${count(of)}`} ${affected === 1 && of === null ? what.replace(/s\b/, "") : what}`, AFFECTED[what]?.(incident)]);
  if (cost.failed) parts.push([`${plural(cost.failed, "session")} failed${lately}`, failedOf(incident)]);
  if (cost.refunded) parts.push([`${plural(cost.refunded, "credit")} refunded`, failedOf(incident, { refund: "given_back" })]);
  if (cost.retried) parts.push([`${plural(cost.retried, "attempt")} retried${lately}`, listAddress({ cause: `retried:${cost.cause}`, since: beginOf(incident) })]);
  if (Number(cost.cost_usd)) parts.push([`${dollars(cost.cost_usd)} lost`, failedOf(incident)]);
  parts.push(...workers.slice(0, 3).map((worker) => [worker, listAddress({ worker })]));
  if (workers.length > 3) parts.push(`${count(workers.length - 3)} more`);
  return parts;
}

/** Where the affected are, by the words that count them. */
const AFFECTED = {
  "waiting tasks": () => listAddress({ status: "waiting" }),
  "running jobs": () => listAddress({ status: "running" }),
  "documents": () => "#/desk",
  "refunds": () => "#/desk",
  "refunds outstanding": () => "#/desk",
  "sessions": listOf,
  "failed sessions": listOf,
};

/** The list that the incident's button opens; none where it opens one session. */
function listOf({ actions }) {
  const shown = actions.find((one) => one.view?.startsWith("sessions?"));
  return shown && `#/${shown.view}`;
}

function linked(parts, first = " · ") {
  return parts.map((part, index) => {
    const [text, href] = [part].flat();
    return [index ? " · " : first, href ? h("a", { href }, text) : text];
  });
}

const SESSION = /([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})/;

/** What stands in a text, each session's id as a link to it. */
function withSessions(text) {
  return text.split(SESSION).map((part, index) => (index % 2 ? h("a", { class: "mono", href: `#/sessions/${part}` }, part) : part));
}

const HOUR_MS = 59 * 60_000; // of which causes are counted, this minute included

function isOld({ since }) {
  return now() - new Date(since).getTime() > HOUR_MS;
}

/** From the minute on in which it began, as its costs are counted; at most an hour ago. */
function beginOf(incident) {
  if (!incident.recovered_at && isOld(incident)) return "60m";
  return new Date(Math.floor(new Date(incident.since).getTime() / 60_000) * 60_000).toISOString();
}

/** The sessions that failed for the incident: the list filters by the causes that are counted. */
function failedOf(incident, more = {}) {
  const { cost, recovered_at } = incident;
  return listAddress({ status: "failed", cause: `failed:${cost.cause}`, ...more, since: beginOf(incident), until: recovered_at });
}

function actionButton({ label, view, call, body, command }) {
  const title = command && `In a terminal: ${command}`;
  if (!call) return h("a", { class: "button", href: `#/${view}`, title }, label);
  const work = async () => {
    await post(call, { json: body });
    toast(`${label}: done.`);
  };
  const button = h("button", { class: "button primary", type: "button", title, onclick: () => busy(button, work) }, label);
  return button;
}

function sentence(text) {
  return text && text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}

/** What stands between backquotes is what one types. */
function marked(text) {
  return text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));
}

function once(element, name, value, work, keyOf = (one) => one) {
  const key = JSON.stringify(keyOf(value));
  if (element[name] === key) return;
  element[name] = key;
  work();
}
