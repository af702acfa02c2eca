// What operators did, as `wearon audit-log` lists it: read when it is opened.

import { get } from "./api.js";
import { h, show } from "./dom.js";
import { ago } from "./format.js";
import { empty, facts, failure, skeleton } from "./ui.js";

export function auditLogCard() {
  const list = h("div");
  const details = h("details", { id: "audit-log" }, h("summary", {}, "Show the newest"), list);
  details.addEventListener("toggle", () => details.open && load(list));
  return h("section", { class: "card" }, h("header", {}, h("h2", {}, "Audit log"), h("p", {}, "who did what")), details);
}

async function load(list) {
  show(list, skeleton(3));
  try {
    const entries = await get("audit-log", { limit: 50 });
    show(list, entries.length ? h("ul", { class: "cases" }, entries.map(line)) : empty("check", "No operator has done anything"));
  } catch (error) {
    show(list, failure(error, () => load(list)));
  }
}

function line({ at, by, via, action, about, before, after, ids }) {
  return h(
    "li",
    { "data-action": action },
    h("div", { class: "case-head" }, h("strong", {}, words(action)), h("div", { class: "data" }, ago(at), h("span", {}, `${by} (${via})`), h("span", { class: "mono" }, about))),
    facts([["Before", inWords(before)], ["After", inWords(after)], ["Concerns", ids.length ? h("span", { class: "mono" }, ids.join(" ")) : ""]]),
  );
}

function inWords(known) {
  return known && Object.entries(known).map(([name, value]) => `${words(name)}: ${value}`).join(", ");
}

function words(name) {
  return name.replaceAll("_", " ");
}
