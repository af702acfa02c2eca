// What is shown while nothing new comes: the last that was known, dimmed, and from when it is.

import { h, show } from "./dom.js";
import { clock } from "./format.js";

/** Of the status, what Redis knows. */
const OF_REDIS = ["queues", "running", "processes", "last_hour", "failures_by_reason", "openai", "spend_today"];

const WHY = {
  connecting: "Connecting again",
  stale: "The worker has said nothing for some seconds",
  lost: "The worker does not answer",
  stopped: "The worker was stopped",
  redis: "Redis does not answer",
};

export class Blindness {
  element = h("p", { class: "as-of", role: "status", hidden: true });
  #known = null; // the last status with what Redis knows

  constructor(main) {
    this.main = main;
  }

  /** The status to be shown: without Redis with what it said last, so that nothing looks like zero. */
  complete(now) {
    if (now.queues) this.#known = now;
    if (now.queues || !this.#known) return now;
    return { ...now, ...Object.fromEntries(OF_REDIS.map((name) => [name, this.#known[name]])) };
  }

  /** Say whether what is shown is old. */
  tell(live) {
    const { latest, state } = live;
    const why = WHY[state] && latest ? state : latest && !latest.queues && state === "live" ? "redis" : null;
    const since = why === "redis" ? this.#known : latest;
    this.main.classList.toggle("blind", why !== null);
    this.element.hidden = why === null;
    const key = `${why} ${since?.at}`;
    if (why === null || this.element.dataset.shown === key) return;
    this.element.dataset.shown = key;
    show(this.element, h("strong", {}, WHY[why]), since ? [": figures as of ", h("time", { datetime: since.at }, clock(since.at, true)), "."] : ": the figures are not known.");
  }
}
