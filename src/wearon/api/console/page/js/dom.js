// Elements from data. Whatever comes from outside becomes a text node or an attribute, never markup, and what could
// turn or hide a part of it stands there written out.

const SVG = "http://www.w3.org/2000/svg";

const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/gu;

const SHOWN = new Set(["title", "alt", "placeholder", "aria-label"]);

/** What must not be torn over two lines: durations, amounts, "3 of 8", dates, times of a zone. */
const WHOLE = /\d[\d.,]* (?:ms|s|min|h|d|[KMG]B|kg|cm|%)(?: \d+ (?:s|min|h))?(?![\p{L}\d])|\d+ of \d+|\d{1,2} \p{Lu}\p{Ll}{2,3} \d{4}|\d\d:\d\d UTC/gu;

/** Ids of sessions and others, of requests, workers and image models; and days, which are torn at their hyphens, too. */
const ID = /([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}|\breq_\w{8,}|[\w.-]+:\d+:[\da-f]{6}\b|\bgpt-image-[\w.-]*\w|\b\d{4}-\d\d-\d\d\b)([),.;:]*)/;

/** These show their text as it is, or can hold no element. */
const AS_IT_IS = new Set(["PRE", "CODE", "OPTION", "TEXTAREA", "TITLE", "text"]);

function unbroken(text) {
  return visible(text).replace(WHOLE, (found) => found.replaceAll(" ", "\u00a0"));
}

/** A text for people, each id in an element that goes to the next line as a whole. */
function inLines(text) {
  const parts = text.split(ID); // a text, an id, the marks behind it, a text, ...
  return parts.map((part, index) => {
    if (index % 3 === 0) return part && unbroken(part);
    if (index % 3 === 2) return "";
    const id = document.createElement("span");
    id.className = "id";
    id.textContent = visible(part + parts[index + 1]);
    return id;
  });
}

/** A text whose control, format and undrawn characters are escapes, as `wearon.observability.visible` writes them. */
export function visible(text) {
  return String(text).replace(HIDDEN, (character) => {
    const number = character.codePointAt(0);
    const [start, digits] = number > 0xffff ? ["\\U", 8] : number > 0xff ? ["\\u", 4] : ["\\x", 2];
    return start + number.toString(16).padStart(digits, "0");
  });
}

/** An element: `h("p", { class: "muted", onclick }, "text", child)`. `null`, `false` and "" children are left out. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else element.setAttribute(name, value === true ? "" : SHOWN.has(name) ? visible(value) : String(value));
  }
  put(element, ...children);
  return element;
}

/** Add children. */
export function put(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    if (child instanceof Node) element.append(child);
    else element.append(...(AS_IT_IS.has(element.tagName) ? [visible(child)] : inLines(String(child)).filter(Boolean)));
  }
  return element;
}

/** Replace all children. */
export function show(element, ...children) {
  element.replaceChildren();
  return put(element, ...children);
}

/**
 * Replace all children by what they are now: what had the focus has it again, and what was open is open. A line's button
 * is known by its line, so that the focus never lands on another's.
 */
export function redraw(element, ...children) {
  const focused = element.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  const open = [...element.querySelectorAll("details[open] > summary")].map(nameOf);
  show(element, ...children);
  for (const summary of element.querySelectorAll("details > summary")) summary.parentElement.open ||= open.includes(nameOf(summary));
  if (focused) [...element.querySelectorAll("a, button, summary")].find((one) => nameOf(one) === focused)?.focus({ preventScroll: true });
}

function nameOf(element) {
  const line = element.closest("li");
  const words = element.textContent.replace(/\d+/g, ""); // a number counts on
  return JSON.stringify([line && { ...line.dataset }, element.tagName, element.getAttribute("href"), element.getAttribute("aria-label"), words]);
}

/** Set a text only when it has changed, so that selections and screen readers are left in peace. */
export function say(element, text) {
  if (element.textContent !== unbroken(text)) element.textContent = unbroken(text);
}

/**
 * Bring a list's elements in line with its items, keeping those that stay: focus and hover survive a live update.
 * `make(item)` gives an element, and may give it an `update(item)`.
 */
export function keep(list, items, keyOf, make) {
  const had = new Map([...list.children].map((child) => [child.key, child]));
  let place = list.firstChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let element = had.get(key);
    had.delete(key);
    if (!element) {
      element = make(item);
      element.key = key;
    }
    element.update?.(item);
    if (element === place) place = place.nextSibling;
    else list.insertBefore(element, place);
  }
  for (const gone of had.values()) gone.remove();
}

/** One of the icons that index.html draws. */
export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, s("use", { href: `#i-${name}` }));
}
