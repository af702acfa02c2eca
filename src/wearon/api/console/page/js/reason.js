// Why a session failed, for three readers: what the operator does, what the clerk may say, what the shopper can change.

import { acting } from "./acting.js";
import { cancelButton } from "./cancel.js";
import { h } from "./dom.js";
import { copyButton, facts, statusPill } from "./ui.js";

/** The first card of a session's page: a sentence for its heading, and the worker's own reason as a detail. */
export function whatHappened({ session, where, reason, advice }) {
  const ended = session.status === "completed" || session.status === "failed";
  const kind = { completed: "good", failed: "bad" }[session.status] ?? "accent";
  return h(
    "section",
    { class: `card ${kind}` },
    h("h2", { class: "question" }, ended ? "What happened?" : "Where is it?"),
    h("p", {}, statusPill(session.status)),
    h("p", { class: "answer" }, advice ? advice.headline : where),
    advice && readers(advice),
    session.error_message && h("p", { class: "muted" }, "The shopper reads: “", session.error_message, "”"),
    reason && h("details", {}, h("summary", {}, "The worker's own reason"), h("p", { class: "mono" }, reason)),
    h("p", { class: "buttons" }, copyButton(session.session_id, "Copy the id"), advice && copyButton(advice.clerk, "Copy the clerk's sentence"), !ended && acting(cancelButton(session))),
  );
}

/** What each of the three is to know. */
export function readers(advice) {
  return facts([
    ["To do", advice.operator],
    ["The clerk may say", h("span", {}, "“", advice.clerk, "”")],
    ["The shopper can", advice.shopper],
  ]);
}
