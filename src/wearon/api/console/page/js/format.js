// Numbers with their units, and times: relative to read, absolute to be sure.

import { h, say } from "./dom.js";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

let ahead = null; // the worker's clock minus this machine's, ms

/** What the worker's clock said just now: ages are counted by it. */
export function setClock(iso) {
  ahead = new Date(iso).getTime() - Date.now();
}

/** What an answer's head says, in whole seconds: serves until the live view tells it better. */
export function noteClock(date) {
  if (ahead === null && date) setClock(date);
}

export function now() {
  return Date.now() + (ahead ?? 0);
}

export function count(number) {
  return WHOLE.format(number);
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** 38 ms, 4.2 s, 38 s, 2 min 5 s, 3 h 20 min, 4 d 2 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const value = Math.max(0, seconds);
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 9.95) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return join(minutes, "min", whole % 60, "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return join(hours, "h", minutes % 60, "min");
  return join(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** Whole seconds, for what goes on counting. */
function whole(seconds) {
  const value = Math.floor(Math.max(0, seconds));
  return value < 60 ? `${value} s` : duration(value);
}

/** The same with a tenth of a second below a minute: for what was measured, not for what goes on. */
export function precise(seconds) {
  return seconds >= 9.95 && seconds < 59.95 ? `${seconds.toFixed(1)} s` : duration(seconds);
}

function join(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

export function percent(share, digits = 0) {
  return `${(share * 100).toFixed(digits)} %`;
}

export function dollars(amount) {
  const value = Number(amount);
  return `$${value.toFixed(value !== 0 && Math.abs(value) < 1 ? 4 : 2)}`;
}

/** An entry that is no dead letter has no time, and must not hide the others. */
function isTime(iso) {
  return !Number.isNaN(new Date(iso).getTime());
}

export function clock(iso, seconds = false) {
  if (!isTime(iso)) return "–";
  const parts = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (seconds) parts.second = "2-digit";
  return new Intl.DateTimeFormat("en", parts).format(new Date(iso));
}

export function absolute(iso) {
  if (!isTime(iso)) return "not known";
  return new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" }).format(new Date(iso));
}

function relative(iso) {
  if (!isTime(iso)) return "–";
  const seconds = (now() - new Date(iso).getTime()) / 1000;
  if (seconds < -2) return `in ${whole(-seconds)}`;
  if (seconds < 2) return "just now";
  const coarse = seconds < 60 ? seconds : seconds < 3600 ? Math.floor(seconds / 60) * 60 : Math.floor(seconds / 3600) * 3600;
  return `${whole(coarse)} ago`;
}

/** A time that goes on counting. */
export function ago(iso) {
  // Off: within a region that is announced, each second would be.
  return h("time", { datetime: iso, title: absolute(iso), "data-ago": iso, "aria-live": "off" }, relative(iso));
}

/** An age in seconds that goes on counting from now. */
export function age(seconds) {
  const since = new Date(now() - seconds * 1000);
  return h("span", { title: `since ${absolute(since)}`, "data-since": since.getTime() }, whole(seconds));
}

/** The same for one that is there already: what the worker says replaces what we counted. */
export function setAge(element, seconds) {
  element.dataset.since = now() - seconds * 1000;
  say(element, whole(seconds));
}

setInterval(() => {
  for (const element of document.querySelectorAll("[data-ago]")) say(element, relative(element.dataset.ago));
  // What is old does not go on ageing as if it were watched.
  for (const element of document.querySelectorAll("main:not(.blind) [data-since]")) {
    say(element, whole((now() - Number(element.dataset.since)) / 1000));
  }
}, 1000);

/** The first characters of an id: enough to tell two apart at a glance. */
export function short(id) {
  return id.length > 14 ? `${id.slice(0, 8)}…` : id;
}

const NAMES = { api: "API", local_redis: "Local Redis" };

export function title(word) {
  if (NAMES[word]) return NAMES[word];
  const text = String(word).replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
