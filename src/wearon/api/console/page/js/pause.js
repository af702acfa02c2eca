// Pausing, as `wearon pause` does. The incident of a pause has the button that ends it.

import { post } from "./api.js";
import { h } from "./dom.js";
import { busy, toast } from "./ui.js";

export function pauseButton() {
  return h("button", { class: "button small", type: "button", onclick: ask }, "Pause…");
}

function ask() {
  const store = h("input", { type: "text", id: "pause-store", autocomplete: "off", maxlength: 100 });
  const reason = h("input", { type: "text", id: "pause-reason", autocomplete: "off", maxlength: 300 });
  const error = h("p", { class: "component-error", role: "alert" });
  const button = h("button", { class: "button danger", type: "submit" }, "Pause");
  const pause = async () => {
    error.textContent = "";
    try {
      await post("pause", { json: { store: store.value.trim() || null, reason: reason.value } });
      dialog.close();
      toast("No more jobs are started. It is shown here in a moment.");
    } catch (failure) {
      error.textContent = failure.message;
    }
  };
  const submit = (event) => {
    event.preventDefault();
    return busy(button, pause);
  };
  const dialog = h(
    "dialog",
    { "aria-labelledby": "pause-heading" },
    h(
      "form",
      { class: "stack", onsubmit: submit },
      h("h2", { id: "pause-heading" }, "Pause"),
      h("p", { class: "muted" }, "No more jobs are started until you resume. Jobs that run go on, and shoppers wait; after 10 minutes the platform fails b2c sessions."),
      h("div", { class: "field" }, h("label", { for: "pause-store" }, "Store"), store, h("p", { class: "hint" }, "The id of a store, or b2c. Left empty: the whole fleet.")),
      h("div", { class: "field" }, h("label", { for: "pause-reason" }, "Reason"), reason),
      error,
      h("div", { class: "buttons" }, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), button),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
