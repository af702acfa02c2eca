// Small things that several views are made of.

import { ApiError } from "./api.js";
import { h, icon, put, show } from "./dom.js";

export function card(heading, note, ...content) {
  return h("section", { class: "card" }, h("header", {}, h("h2", {}, heading), note && h("p", {}, note)), content);
}

export function pill(kind, text, mark) {
  return h("span", { class: `pill ${kind}` }, mark ? icon(mark) : h("i", { class: "dot" }), text);
}

/** The closed list of why an attempt did not complete. */
export const REASONS = {
  moderation: "Flagged by the safety filter",
  rate_limit: "Rate limit",
  picture: "Picture not usable",
  openai: "Image model",
  platform: "Platform",
  deadline: "Took too long",
  task: "Task not valid",
  store_limit: "Daily limit of the store",
  crashes: "Crashed again and again",
  internal: "Fault of ours",
};

const STATUSES = {
  completed: ["good", "Completed", "check"],
  failed: ["bad", "Failed", "cross"],
  processing: ["accent", "Processing"],
  queued: ["", "Queued"],
  pending: ["", "Pending"],
  waiting: ["", "Waiting"],
  running: ["accent", "Running"],
  retried: ["warn", "Retried", "warn"],
  stopped: ["warn", "Stopped", "warn"],
  dead_letter: ["bad", "Dead letter", "cross"],
  ended_elsewhere: ["", "Ended elsewhere"],
};

/** A session's status, by colour, mark and word. */
export function statusPill(status) {
  return pill(...(STATUSES[status] ?? ["", status]));
}

export function empty(mark, heading, text, ...more) {
  return h("div", { class: "empty" }, icon(mark), h("strong", {}, heading), text && h("p", {}, text), more);
}

export function skeleton(lines = 4) {
  return h("div", { class: "skeleton", role: "status", "aria-label": "Loading" }, Array.from({ length: lines }, () => h("i")));
}

export function notice(kind, ...content) {
  return h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null }, icon(kind === "good" ? "check" : "warn"), h("div", {}, content));
}

/** A failure where content was expected, with a way to try again. */
export function failure(error, again) {
  if (!(error instanceof ApiError)) console.error(error);
  const message = error instanceof ApiError ? error.message : "The page met something unexpected.";
  const button = again && h("button", { class: "button", type: "button", onclick: () => busy(button, again) }, "Try again");
  return notice("bad", h("p", {}, message), button);
}

export function toast(text, mark = "check") {
  const element = h("div", { class: "toast" }, icon(mark), h("span", {}, text));
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), 6000);
}

/** A button that puts a text into the clipboard. */
export function copyButton(text, label) {
  return h("button", { class: "button small", type: "button", onclick: () => copy(text) }, icon("copy"), label);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers have no clipboard for pages that came by plain http.
    const button = document.activeElement;
    const field = h("textarea", { class: "hidden-visually" });
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    button?.focus();
    if (!copied) {
      toast("The browser did not let it be copied.", "warn");
      return;
    }
  }
  toast("Copied.");
}

/** Do something that may fail while its button waits. It is not disabled: that would take the focus away from it. */
export async function busy(button, work) {
  if (button.getAttribute("aria-busy") === "true") return undefined;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ApiError)) console.error(error);
    toast(error instanceof ApiError ? error.message : "That did not work.", "warn");
    return undefined;
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** What was asked on one view, or before the login ended, is not asked on the next. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close("");
}

/** Ask before something that cannot be taken back; resolves to whether it was confirmed. */
export function confirm({ heading, text, action, dismiss = "Cancel", danger = true }) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-heading" },
      h("h2", { id: "dialog-heading" }, heading),
      h("p", { class: "muted" }, text),
      h(
        "div",
        { class: "buttons" },
        h("button", { class: "button", type: "button", autofocus: true, onclick: () => dialog.close("") }, dismiss),
        h("button", { class: `button ${danger ? "danger" : "primary"}`, type: "button", onclick: () => dialog.close("yes") }, action),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

const MAX_BYTES = 10 * 1024 * 1024;

/** Where a picture is dropped, chosen, or taken from the samples, and taken away again if `removable`. `onpick()` is called
 * after each change; `blob` holds the picture. */
export class PictureField {
  blob = null;
  #url = null;

  constructor({ label, hint, samples = [], onpick = () => {}, removable = false }) {
    this.onpick = onpick;
    this.hint = hint;
    this.input = h("input", { type: "file", accept: "image/jpeg,image/png,image/webp", "aria-label": `${label}: choose a file` });
    this.input.addEventListener("change", () => this.input.files[0] && this.set(this.input.files[0]));
    this.face = h("div");
    this.drop = h("div", { class: "drop" }, this.face, this.input);
    this.remove = removable && h("button", { class: "button plain", type: "button", "aria-label": `${label}: remove`, onclick: () => this.#clear() }, "Remove");
    this.error = h("p", { class: "component-error", role: "alert" });
    this.buttons = samples.map((sample, index) => this.#sampleButton(sample, `Sample ${index + 1}: ${sample.label}`));
    this.element = h(
      "div",
      { class: "field" },
      h("span", { class: "label" }, label, this.remove),
      this.drop,
      this.error,
      this.buttons.length > 0 && h("div", { class: "samples" }, h("span", {}, "or a sample"), this.buttons),
    );
    for (const type of ["dragover", "dragleave", "drop"]) this.drop.addEventListener(type, (event) => this.#onDrag(event));
    this.#paint();
  }

  get url() {
    return this.#url;
  }

  set(blob) {
    this.error.textContent = "";
    if (blob !== this.input.files[0]) this.input.value = ""; // else choosing its file again would change nothing
    if (blob.size > MAX_BYTES) {
      this.error.textContent = "This picture is larger than 10 MB.";
      return;
    }
    this.#keep(blob);
  }

  #clear() {
    this.error.textContent = "";
    this.input.value = "";
    this.#keep(null);
    this.input.focus(); // the button is gone
  }

  #keep(blob) {
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.blob = blob;
    this.#url = blob && URL.createObjectURL(blob);
    for (const button of this.buttons) button.setAttribute("aria-pressed", "false");
    this.#paint();
    this.onpick();
  }

  destroy() {
    if (this.#url) URL.revokeObjectURL(this.#url);
  }

  #paint() {
    this.drop.classList.toggle("filled", this.blob !== null);
    if (this.remove) this.remove.hidden = this.blob === null;
    if (this.blob) show(this.face, h("img", { src: this.#url, alt: "The chosen picture", onerror: () => this.#refuse() }));
    else show(this.face, icon("image"), h("strong", {}, "Drop a picture here"), h("span", { class: "small" }, this.hint ?? "or choose a file: JPEG, PNG or WebP, up to 10 MB"));
  }

  /** A picture that the browser cannot show is none of the kinds that the worker reads. */
  #refuse() {
    this.#keep(null);
    this.error.textContent = "This picture cannot be read: take the photo as JPEG, PNG or WebP. HEIC, as phones make it, cannot be read.";
  }

  #sampleButton(sample, label) {
    const address = `/console/samples/${sample.file}`;
    const pick = async () => {
      const blob = await load(address);
      this.set(blob);
      button.setAttribute("aria-pressed", "true");
      sample.onpick?.();
    };
    const button = h("button", { type: "button", "aria-label": label, "aria-pressed": "false", title: sample.label, onclick: () => busy(button, pick) }, h("img", { src: address, alt: "", loading: "lazy" }));
    return button;
  }

  #onDrag(event) {
    event.preventDefault();
    this.drop.classList.toggle("over", event.type === "dragover");
    if (event.type === "drop" && event.dataTransfer.files[0]) this.set(event.dataTransfer.files[0]);
  }
}

async function load(address) {
  try {
    const answer = await fetch(address);
    if (answer.ok) return await answer.blob();
  } catch {
    // Said below.
  }
  throw new ApiError(0, "The sample could not be loaded.");
}

/** A picture that opens in its full size. */
export function zoomable(src, alt) {
  const open = () => {
    const close = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Close");
    const dialog = h("dialog", { class: "picture-dialog", "aria-label": alt }, h("img", { src, alt }), h("div", { class: "buttons" }, close));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  };
  return h("button", { class: "zoom", type: "button", title: "Show in full size", onclick: open }, h("img", { class: "photo", src, alt }));
}

/** A list of facts; those without a value are left out. */
export function facts(pairs) {
  const list = h("dl", { class: "facts" });
  for (const [name, value] of pairs) {
    if (value !== null && value !== undefined && value !== "") put(list, h("dt", {}, name), h("dd", {}, value));
  }
  return list;
}
