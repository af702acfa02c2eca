// Incidents as cards: what broke, whom it costs, what to do, and the buttons that do it.

import { mayAct } from "./acting.js";
import { post } from "./api.js";
import { h, icon, keep, say, show } from "./dom.js";
import { ago, clock, count, dollars, duration, plural } from "./format.js";
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
    say(heading, incident.title);
    say(detail, sentence(incident.detail));
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
  element.update = (incident) => once(element, "facts", incident, () => show(text, h("strong", {}, `${recovery(incident)}: `), incident.title, linked(extent(incident))));
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
  const { affected, of, what, cost, workers, actions } = incident;
  const parts = [];
  const shown = what.includes("session") && actions.find((one) => one.view?.startsWith("sessions"));
  if (affected !== null) parts.push([`${count(affected)}${of === null ? "" : ` of ${count(of)}`} ${affected === 1 && of === null ? what.replace(/s\b/, "") : what}`, shown && `#/${shown.view}`]);
  if (cost.failed) parts.push([`${plural(cost.failed, "session")} failed`, failedOf(incident)]);
  if (cost.refunded) parts.push([`${plural(cost.refunded, "credit")} refunded`, failedOf(incident, { refund: "given_back" })]);
  if (cost.retried) parts.push(`${plural(cost.retried, "attempt")} retried`);
  if (Number(cost.cost_usd)) parts.push(`${dollars(cost.cost_usd)} lost`);
  if (workers.length) parts.push(workers.length > 3 ? `${workers.slice(0, 3).join(", ")} and ${count(workers.length - 3)} more` : workers.join(", "));
  return parts;
}

function linked(parts) {
  return parts.map((part) => {
    const [text, href] = [part].flat();
    return [" · ", href ? h("a", { href }, text) : text];
  });
}

/** The reason that sessions have in the list, by how the incident's code begins. */
const REASON_OF = [
  ["rate_limit", "rate_limit"],
  ["openai_", "openai"],
  ["redis_", "platform"],
  ["supabase_storage_away", ""], // some for a picture that could not be fetched
  ["supabase_", "platform"],
];

/** The sessions that failed for the incident, from the minute on in which it began: the costs are counted so, too. */
function failedOf({ code, tenant, since, recovered_at }, more = {}) {
  const reason = REASON_OF.find(([begin]) => code.startsWith(begin))?.[1] ?? "";
  const owner = tenant?.startsWith("b2b:") ? { owner_id: tenant.slice(4) } : {};
  const minute = new Date(Math.floor(new Date(since).getTime() / 60_000) * 60_000).toISOString();
  return listAddress({ status: "failed", reason, ...owner, ...more, since: minute, until: recovered_at });
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
