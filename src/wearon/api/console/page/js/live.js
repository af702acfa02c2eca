// The live overview: one stream of server-sent events for the whole page. It reconnects by itself, says when what is
// shown is old, and disconnects while the page is hidden.

import { setClock } from "./format.js";

const STALE_MS = 7000; // the worker speaks every 2 s
const PAUSES_MS = [1000, 2000, 4000, 8000];
const HELLO_MS = 10_000; // a line that lets a request hang must not end the tries
const HIDDEN_MS = 60_000; // a page in the background costs the worker nothing after that

export class Live extends EventTarget {
  latest = null;
  state = "connecting"; // live, stale, lost, stopped, paused
  #source = null;
  #heard = 0;
  #tries = 0;
  #turn = 0; // which connection this is
  #again = 0;
  #watch = 0;
  #hide = 0;

  start() {
    this.#watch = setInterval(() => this.#look(), 1000);
    document.addEventListener("visibilitychange", this.#onVisibility);
    window.addEventListener("online", this.#onOnline);
    this.#open();
  }

  stop() {
    clearInterval(this.#watch);
    document.removeEventListener("visibilitychange", this.#onVisibility);
    window.removeEventListener("online", this.#onOnline);
    this.#close();
  }

  /** Seconds since the worker was last heard of. */
  get silence() {
    return this.#heard ? (performance.now() - this.#heard) / 1000 : null;
  }

  #open() {
    this.#close();
    const source = new EventSource("/console/api/live");
    this.#source = source;
    source.addEventListener("now", (event) => {
      this.latest = JSON.parse(event.data);
      setClock(this.latest.at);
      this.#heard = performance.now();
      this.#tries = 0;
      this.#become("live");
      this.dispatchEvent(new Event("now"));
    });
    source.addEventListener("renew", () => this.#open()); // no fault: a stream lasts ten minutes
    source.addEventListener("bye", () => this.#become("stopped"));
    source.onerror = () => {
      if (this.state !== "stopped") this.#become("lost"); // one that was stopped in order is not a fault
      // A refusal ends the stream for good (readyState 2); a broken line is taken up again by the browser.
      if (source.readyState === EventSource.CLOSED) this.#openLater();
    };
  }

  #close() {
    this.#turn += 1;
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
  }

  async #openLater() {
    this.#close();
    const turn = this.#turn;
    const pause = PAUSES_MS[Math.min(this.#tries++, PAUSES_MS.length - 1)];
    // EventSource does not tell why: an expired login must lead to the form, not to endless tries.
    const answer = await fetch("/console/api/hello", { headers: { "X-WearOn-Console": "1" }, signal: AbortSignal.timeout(HELLO_MS) }).catch(() => null);
    if (turn !== this.#turn) return; // stopped, or opened anew meanwhile
    if (answer?.status === 401) window.dispatchEvent(new Event("login-needed"));
    else this.#again = setTimeout(() => this.#open(), pause);
  }

  #look() {
    if (this.state === "live" && performance.now() - this.#heard > STALE_MS) this.#become("stale");
    // A browser that never noticed the broken line (a machine that slept) is helped along.
    if (this.state === "stale" && performance.now() - this.#heard > 3 * STALE_MS) {
      this.#become("lost");
      this.#open();
    }
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  #onVisibility = () => {
    clearTimeout(this.#hide);
    if (document.hidden) {
      this.#hide = setTimeout(() => {
        this.#close();
        this.#become("paused");
      }, HIDDEN_MS);
    } else if (this.state === "paused") {
      this.#become("connecting");
      this.#open();
    }
  };

  #onOnline = () => {
    if (this.state !== "live") this.#open();
  };
}
