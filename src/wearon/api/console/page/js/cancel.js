// Cancelling a session that has not ended.

import { remove, segment } from "./api.js";
import { h } from "./dom.js";
import { busy, confirm, toast } from "./ui.js";

/** A button that fails and refunds the session; one that runs only after a second question. */
export function cancelButton({ session_id: id }) {
  const button = h("button", { class: "button small danger", type: "button", onclick: () => busy(button, () => cancel(id)) }, "Cancel the session");
  return button;
}

async function cancel(id) {
  const sure = await confirm({ heading: "Cancel this session?", text: `${id} is failed, and its credit is refunded.`, action: "Cancel it", dismiss: "Leave it" });
  if (!sure) return;
  let { outcome, sentence } = await remove(`sessions/${segment(id)}`);
  if (outcome === "running") {
    const now = await confirm({ heading: "It runs already. End it now?", text: "Its picture may be paid for, and is lost then. If you leave it, it is let finish.", action: "End it now", dismiss: "Let it finish" });
    if (now) ({ outcome, sentence } = await remove(`sessions/${segment(id)}`, { query: { now: true } }));
  }
  toast(sentence, outcome === "cancelled" ? "check" : "warn");
  window.dispatchEvent(new HashChangeEvent("hashchange")); // the view is drawn anew
}
