// The worker's JSON.

import { noteClock } from "./format.js";

/** What went wrong, in words for people. `status` 0: no answer at all. */
export class ApiError extends Error {
  constructor(status, message, more = {}) {
    super(message);
    this.status = status;
    this.hint = more.hint;
    this.code = more.code;
  }
}

const WORDS = {
  0: "The worker does not answer. Is it running?",
  413: "A picture is larger than 10 MB.",
  500: "Something went wrong in the worker; its log says what.",
  502: "The worker does not answer. Is it running?",
};

const READ_MS = 30_000; // the worker gives up a read after 6 s; the rest is for a slow line

export function get(path, query) {
  return call("GET", path, { query });
}

/** `json` or `body` (raw bytes) are sent along. */
export function post(path, options = {}) {
  return call("POST", path, options);
}

export function remove(path, options = {}) {
  return call("DELETE", path, options);
}

async function call(method, path, { query, json, body } = {}) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const address = `/console/api/${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
  // The header is what no other page can make a browser send.
  const headers = { "X-WearOn-Console": "1" };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (body !== undefined) headers["Content-Type"] = "application/octet-stream";
  const signal = method === "GET" ? AbortSignal.timeout(READ_MS) : null;
  let answer;
  try {
    answer = await fetch(address, { method, headers, signal, body: json === undefined ? body : JSON.stringify(json) });
  } catch {
    throw new ApiError(0, WORDS[0]);
  }
  noteClock(answer.headers.get("Date"));
  if (answer.status === 204) return null;
  const document = await answer.json().catch(() => (answer.ok ? null : {}));
  // No document where one belongs: the line broke half way, or something between us and the worker answers for it.
  if (document === null) throw new ApiError(0, WORDS[0]);
  if (answer.ok) return document;
  if (answer.status === 401 && path !== "login") window.dispatchEvent(new Event("login-needed"));
  const detail = Array.isArray(document.detail) ? document.detail.map(complaint).join("; ") : document.detail;
  throw new ApiError(answer.status, WORDS[answer.status] ?? detail ?? "The worker refused that.", document);
}

/** One field of the request that is not as it should be. */
function complaint({ loc, msg }) {
  return `${loc.slice(1).join(".")}: ${msg}`;
}

const TRIES = 5;

/** Do it again after a second while the worker says that it is busy: its pose processes turn away what would wait. */
export async function whenFree(work) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      if (error.status !== 503 || tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

/** Work that is asked for again while it goes on is done once more afterwards: it neither piles up nor is overtaken. */
export function inTurn(work) {
  let underWay = null;
  let again = false;
  const run = async () => {
    do {
      again = false;
      await work();
    } while (again);
  };
  return () => {
    if (underWay) again = true;
    else underWay = run().finally(() => (underWay = null));
    return underWay;
  };
}

export const segment = encodeURIComponent;
