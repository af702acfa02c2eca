// Now: what the fleet does at this moment, and what it did within the last hour.

import { acting } from "../acting.js";
import { LatencyChart, ThroughputChart, meanLatency } from "../charts.js";
import { h, keep, say, show } from "../dom.js";
import { age, count, dollars, duration, percent, plural, setAge, short, title } from "../format.js";
import { IncidentCards } from "../incidents.js";
import { pauseButton } from "../pause.js";
import { listAddress } from "../session_list.js";
import { REASONS, card, empty, pill, skeleton } from "../ui.js";

const STEPS = [
  ["start", "Start"],
  ["photos", "Photos"],
  ["generate", "Generate"],
  ["upload", "Upload"],
  ["complete", "Complete"],
];

export class NowView {
  #started = false;

  constructor({ main, hello }) {
    this.main = main;
    this.local = hello.mode === "local"; // a preview costs nothing, and no image model is asked
    show(main, h("div", { class: "headline" }, h("h1", {}, "Now")), skeleton(6));
  }

  update(now) {
    if (!this.#started) this.#start();
    this.incidents.update(now);
    this.#figures(now);
    // Without Redis the last hour is not empty but unknown: what was drawn of it stays.
    if (now.queues || !this.known) {
      this.known = Boolean(now.queues);
      this.throughput.update(now.last_hour);
      this.latency.update(now.last_hour);
    }
    this.#model(now);
    this.#lines(now);
    this.#failures(now);
    this.#running(now);
    this.#processes(now);
    this.#pose(now);
  }

  #start() {
    this.#started = true;
    this.incidents = new IncidentCards();
    this.figures = Object.fromEntries(
      [
        ["waiting", "Tasks waiting", listAddress({ status: "waiting" })],
        ["running", "Jobs running", listAddress({ status: "running" })],
        ["hour", "Completed, last hour", listAddress({ status: "completed", since: "60m" })],
        ["spend", this.local ? "Pictures today" : "Spent today", "#/sessions"],
        ["refunds", "Refunds outstanding", "#/desk"],
        ["letters", "Dead letters", "#/desk"],
      ].map(([name, label, href]) => [name, figure(label, href)]),
    );
    this.throughput = new ThroughputChart({
      heading: "Throughput",
      label: "Throughput of the last hour, minute by minute",
      open: ofMinute,
      describe: (minute) => [`${count(minute.completed)} completed`, `${count(minute.failed)} failed`, minute.put_back && `${count(minute.put_back)} retried`].filter(Boolean).join(", "),
      summarise: (minutes) => !this.known ? ["not known"] : [ofHour(minutes, "completed"), ", ", ofHour(minutes, "failed"), " in 60 minutes"],
      legend: ["completed", "failed"].map((status) => [status, title(status), listAddress({ status, since: "60m" })]),
    });
    this.latency = new LatencyChart({
      heading: "Image model latency",
      label: "Mean latency of the image model over the last hour, minute by minute",
      open: ofMinute,
      describe: (minute) => (minute.openai_calls ? `${duration(meanLatency(minute))} on average over ${plural(minute.openai_calls, "call")}` : "no calls"),
      summarise: () => [this.modelWords ?? ""],
      legend: [["latency", "Mean time of a call"]],
      unit: " s",
    });
    this.budget = h("div");
    this.lines = h("ul", { class: "bars" });
    this.otherLines = h("a", { class: "muted small", href: listAddress({ status: "waiting" }) });
    this.noLines = h("div");
    this.reasons = h("ul", { class: "bars" });
    this.noReasons = h("div");
    this.jobs = h("ul", { class: "jobs" });
    this.noJobs = h("div");
    this.fleet = h("div");
    this.noFleet = h("div");
    this.pose = h("div");
    show(
      this.main,
      h("div", { class: "headline" }, h("h1", {}, "Now"), acting(pauseButton())),
      this.incidents.element,
      h("div", { class: "figures" }, Object.values(this.figures).map((one) => one.element)),
      h(
        "div",
        { class: "grid" },
        wide(this.local ? "w12" : "w7", this.throughput.element),
        !this.local && wide("w5", this.latency.element),
        h("div", { class: "w8 stack" }, card("Running jobs", null, this.jobs, this.noJobs), card("Processes", null, this.fleet, this.noFleet), h("div", { class: "beside" }, !this.local && card("Rate limit", "requests a minute, whole fleet", this.budget), card("Size estimates", "pose pool of this process", this.pose))),
        h("div", { class: "w4 stack" }, card("Waiting for a turn", "jobs, longest lines", this.lines, h("p", { class: "others" }, this.otherLines), this.noLines), card("Failures by reason", "last hour", this.reasons, this.noReasons)),
      ),
    );
  }

  #figures({ at, queues, running, processes, last_hour, spend_today, openai }) {
    const { waiting, running: busy, hour, spend, refunds, letters } = this.figures;
    const capacity = processes.reduce((total, one) => total + one.capacity, 0);
    if (queues) {
      waiting.set(count(queues.tasks + Math.max(0, queues.jobs - queues.running)), "", queues.oldest_task_s === null ? "no tasks are waiting" : ["oldest for ", age(queues.oldest_task_s)]);
      busy.set(count(queues.running), capacity ? `of ${count(capacity)}` : "", slotsFree(capacity - queues.running, capacity));
      const owed = queues.refunds + queues.refunds_by_hand;
      refunds.set(count(queues.refunds), "", note(queues), owed ? (queues.oldest_refund_s > 30 ? "bad" : "warn") : "");
      letters.set(count(queues.dead_letters), "", queues.dead_letters ? "to be retried or discarded" : "none to read", queues.dead_letters ? "warn" : "");
    } else {
      for (const one of [waiting, refunds, letters]) one.set("–", "", "Redis does not answer", "bad");
      busy.set(count(running.length), "here", "the fleet is not in sight");
      hour.set("–", "", "Redis does not answer", "bad");
    }
    const done = sum(last_hour, "completed");
    const failed = sum(last_hour, "failed");
    if (queues) hour.set(count(done), "", succeeded(done, failed));
    spend.link.href = listAddress({ status: "completed", since: `${at.slice(0, 10)}T00:00:00Z` });
    if (spend_today && this.local) spend.set(count(spend_today.pictures), "", "previews cost nothing");
    else if (spend_today) spend.set(dollars(spend_today.cost_usd), "", [plural(spend_today.pictures, "picture"), spend_today.unknown_cost ? `, ${count(spend_today.unknown_cost)} of unknown cost` : ""]);
    else spend.set("–", "", "not known");
    const wanted = [...new Set(processes.flatMap((one) => one.image_models.slice(0, 1).map((model) => model.name)))];
    if (openai || !this.modelWords) this.modelWords = (wanted.length ? `wanted: ${wanted.join(", ")}; ` : "") + (openai?.calls ? `half within ${duration(openai.p50_s)}, 95 % within ${duration(openai.p95_s)}` : "no calls within the hour");
  }

  #model({ openai }) {
    if (!openai) {
      show(this.budget, h("p", { class: "muted" }, "Not known."));
      return;
    }
    const share = Math.min(1, openai.used_last_minute / openai.requests_per_minute);
    show(
      this.budget,
      h("p", {}, h("strong", { class: "num" }, count(openai.used_last_minute)), ` of ${count(openai.requests_per_minute)} used within the last minute`),
      meter(share, share > 0.9 ? "bad" : ""),
      h("p", { class: "muted small" }, openai.next_slot_in_s > 0.05 ? `A request that comes now waits ${duration(openai.next_slot_in_s)}.` : "A request that comes now need not wait."),
    );
  }

  #failures({ failures_by_reason, queues }) {
    const all = Object.entries(failures_by_reason).sort((one, other) => other[1] - one[1]);
    bars(this.reasons, all, "bad", (name) => [REASONS[name] ?? title(name), { status: "failed", reason: name, since: "60m" }]);
    nothing(this.noReasons, all.length === 0, queues, "Nothing failed", "within the last hour");
  }

  #lines({ queues }) {
    const all = Object.entries(queues?.longest_lines ?? {}); // the longest first
    bars(this.lines, all, "", (tenant) => {
      const store = tenant.startsWith("b2b:") && tenant.slice(4);
      return store ? [`Store ${short(store)}`, { status: "waiting", owner_id: store }] : [tenant, { status: "waiting", channel: tenant }];
    });
    const others = queues ? queues.in_lines - all.reduce((total, [, jobs]) => total + jobs, 0) : 0;
    this.otherLines.hidden = others <= 0;
    say(this.otherLines, others > 0 ? `and ${plural(others, "job")} of others` : "");
    nothing(this.noLines, all.length === 0, queues, "No line", "each task starts at once");
  }

  #running({ running }) {
    keep(this.jobs, running, (job) => job.session_id, jobRow);
    once(this.noJobs, running.length === 0, () => empty("hanger", "No job is running", "A task that is pushed to wearon:tasks:generation shows up here within moments."));
  }

  #processes({ processes, parts }) {
    const here = { worker: "This process", host: "", parts, here: true };
    const shown = processes.length ? processes : [here];
    keep(this.fleet, shown, (one) => one.worker + (one.pid ?? ""), processRow);
    once(this.noFleet, processes.length === 0, () => h("p", { class: "muted small" }, "No worker process has reported itself: only the one that answers is known."));
  }

  #pose({ pose_pool }) {
    if (!pose_pool) {
      show(this.pose, h("p", { class: "muted" }, "This process estimates no sizes."));
      return;
    }
    const { processes, warm, waiting, expected_wait_s } = pose_pool;
    show(
      this.pose,
      h("p", {}, h("strong", { class: "num" }, `${warm} of ${processes}`), " processes warm"),
      meter(warm / processes, warm < processes ? "bad" : "good"),
      h("p", { class: "muted small" }, waiting ? `${plural(waiting, "photo")} waiting` : "No photo is waiting", expected_wait_s > 0.05 ? ` · an estimate now waits ${duration(expected_wait_s)}` : " · an estimate need not wait"),
    );
  }
}

function wide(name, element) {
  element.classList.add(name);
  return element;
}

function sum(minutes, name) {
  return minutes.reduce((total, minute) => total + minute[name], 0);
}

function note(queues) {
  const parts = [];
  if (queues.oldest_refund_s !== null) parts.push(["oldest for ", age(queues.oldest_refund_s)]);
  if (queues.refunds) parts.push(" (", h("a", { href: listAddress({ refund: "postponed" }) }, "sessions"), ")");
  if (queues.refunds_by_hand) parts.push(parts.length ? ", " : "", h("a", { href: listAddress({ refund: "by_hand" }) }, `${count(queues.refunds_by_hand)} ${queues.refunds_by_hand === 1 ? "needs" : "need"} review`));
  return parts.length ? parts : "every credit is where it belongs";
}

function succeeded(done, failed) {
  if (!failed) return done ? "pictures, all succeeded" : "nothing has ended yet";
  return `pictures, ${percent(done / (done + failed), 1)} succeeded`;
}

function slotsFree(free, capacity) {
  if (!capacity) return "no worker is there";
  return free > 0 ? `${plural(free, "slot")} free` : "no slot is free";
}

/** The address of the sessions that ended within a minute. */
function ofMinute({ at }) {
  return listAddress({ since: at, until: new Date(new Date(at).getTime() + 60_000).toISOString() });
}

/** So many within the hour, as a link to them: `[text, address]`. */
function ofHour(minutes, status) {
  return [`${count(sum(minutes, status))} ${status}`, listAddress({ status, since: "60m" })];
}

function figure(label, href) {
  const value = h("span", { class: "value" });
  const below = h("span", { class: "note" });
  const link = h("a", { class: "label", href }, label); // it covers the whole card
  const element = h("div", { class: "card figure" }, link, value, below);
  return {
    element,
    link,
    set(number, unit, text, kind = "") {
      element.className = `card figure ${kind}`;
      show(value, number, unit && h("small", {}, ` ${unit}`));
      if (!below.querySelector("a:is(:hover, :focus)")) show(below, text); // a link that is about to be opened stays
    },
  };
}

function meter(share, kind = "") {
  return h("div", { class: `meter ${kind}` }, h("i", { style: { width: `${share * 100}%` } }));
}

/** A bar for each `[name, number]`. `describe(name)`: its words, and the query of its sessions. */
function bars(list, all, kind, describe) {
  const most = Math.max(1, ...all.map(([, value]) => value));
  const items = all.map(([name, value]) => ({ name, value, share: value / most }));
  keep(list, items, ({ name }) => name, ({ name }) => {
    const [text, query] = describe(name);
    const number = h("span", { class: "num" });
    const bar = meter(0, kind);
    const element = h("li", {}, h("a", { title: name, href: listAddress(query) }, text), number, bar);
    element.update = ({ value, share }) => {
      say(number, count(value));
      bar.firstChild.style.setProperty("width", `${share * 100}%`);
    };
    return element;
  });
}

/** What stands where a list is empty; it is not known while there is no Redis. */
function nothing(element, wanted, queues, ...words) {
  const [icon, heading, text] = queues ? ["check", ...words] : ["warn", "Not known", "while Redis does not answer"];
  if (element.dataset.words !== heading) show(element);
  element.dataset.words = heading;
  once(element, wanted, () => empty(icon, heading, text));
}

function once(element, wanted, make) {
  if (wanted === Boolean(element.firstChild)) return;
  show(element, wanted && make());
}

function jobRow(job) {
  const step = h("ol", { class: "steps", "aria-label": "Steps" });
  const total = age(job.age_s);
  const attempt = h("span");
  const element = h(
    "li",
    { class: "job" },
    h("div", { class: "who" }, h("a", { href: `#/sessions/${encodeURIComponent(job.session_id)}`, title: job.session_id }, job.session_id), h("p", {}, h("span", { class: "muted small", title: job.worker }, `${job.channel} · ${short(job.worker)}`, attempt), h("span", { class: "age" }, total))),
    step,
  );
  let inStep = null;
  element.update = (fresh) => {
    setAge(total, fresh.age_s);
    say(attempt, fresh.attempt > 1 ? ` · attempt ${fresh.attempt}` : "");
    const key = fresh.step;
    if (element.dataset.step !== key) {
      element.dataset.step = key;
      inStep = age(fresh.step_s);
      show(step, stepItems(key, inStep));
    }
    setAge(inStep, fresh.step_s);
  };
  return element;
}

function stepItems(current, since) {
  // Waiting for the rate limit is the first part of generating.
  const shown = current === "rate_limit" ? "generate" : current;
  const at = STEPS.findIndex(([name]) => name === shown);
  if (at < 0) return [h("li", { class: "current" }, title(current), h("b", {}, since))];
  return STEPS.map(([, label], index) => {
    const name = index < at ? "done" : index === at ? "current" : "";
    const text = index === at && current === "rate_limit" ? "Rate limit" : label;
    return h("li", { class: name, "aria-current": index === at ? "step" : null }, text, index === at && h("b", {}, since));
  });
}

function processRow(first) {
  const load = meter(0);
  const words = first.here || !first.capacity ? h("span") : h("a", { href: listAddress({ status: "running", worker: first.worker }) });
  const data = h("div", { class: "data" });
  const components = h("div", { class: "chips" });
  const errors = h("div");
  const beat = h("span", { class: "muted small num" });
  const element = h(
    "div",
    { class: "process" },
    h("div", { class: "top" }, h("strong", {}, first.here ? first.worker : first.host, !first.here && [" ", h("a", { class: "muted mono", href: listAddress({ worker: first.worker }), title: "The sessions whose last attempt it ran" }, first.worker)]), beat),
    !first.here && h("div", { class: "load" }, load, words),
    data,
    components,
    errors,
  );
  element.update = (one) => {
    if (!one.here) {
      load.firstChild.style.setProperty("width", `${one.capacity ? (one.busy / one.capacity) * 100 : 0}%`);
      say(words, one.capacity ? `${count(one.busy)} of ${count(one.capacity)} busy` : "runs no jobs");
      say(beat, `heartbeat ${duration(one.beat_age_s)} ago`);
      show(data, [`pid ${one.pid}`, `version ${one.version}`, `loop lag ${duration(one.loop_lag_s)}`, one.memory_mb !== null && `${count(one.memory_mb)} MB`].filter(Boolean).map((text) => h("span", {}, text)));
    }
    const key = JSON.stringify(one.parts);
    if (element.dataset.parts === key) return;
    element.dataset.parts = key;
    show(components, one.parts.map((component) => pill(component.state === "running" ? "good" : "bad", component.state === "running" ? title(component.name) : `${title(component.name)}: ${component.state}`, component.state === "running" ? null : "warn")));
    show(errors, one.parts.filter((component) => component.state !== "running" && component.error).map((component) => h("p", { class: "component-error" }, `${title(component.name)}: ${component.error}`)));
  };
  return element;
}
