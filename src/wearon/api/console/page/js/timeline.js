// A session's time line: one row for each event, bars for what took time, on one scale.
//
// Minutes of waiting between seconds of work would leave nothing of the work to be seen, so a long wait is drawn as a
// short one, with a dashed line where time was left out.

import { h } from "./dom.js";
import { absolute, duration, now, precise } from "./format.js";

const LONGEST_WAIT = 0.18; // of what is drawn of the rest

const KINDS = { completed: "good", failed: "bad", dead_letter: "bad", put_back: "warn", stopped: "warn" };
const REFUNDS = { given_back: "good", already_given_back: "good", by_hand: "bad", postponed: "warn" };
const LASTING = new Set(["step", "wait"]);

export function timeline(events, final) {
  const spans = events.map((event) => spanOf(event, final));
  const scale = makeScale(spans, events, final);
  return h("div", { class: "timeline" }, axis(scale), h("ol", {}, events.map((event, index) => row(event, spans[index], scale))));
}

function spanOf(event, final) {
  const start = new Date(event.at).getTime();
  if (!LASTING.has(event.kind)) return { start, end: start, open: false };
  const open = event.seconds === null && !final;
  return { start, end: open ? Math.max(start, now()) : start + (event.seconds ?? 0) * 1000, open };
}

/** Maps a time to 0..1, and says where time was left out. */
function makeScale(spans, events, final) {
  const edges = [...new Set(spans.flatMap((span) => [span.start, span.end]))];
  if (!final) edges.push(now());
  edges.sort((one, other) => one - other);
  const works = spans.filter((span, index) => span.end > span.start && events[index].kind === "step");
  const pieces = edges.slice(1).map((to, index) => {
    const from = edges[index];
    return { from, to, busy: works.some((span) => span.start < to && span.end > from) };
  });
  const worked = pieces.reduce((total, piece) => total + (piece.busy ? piece.to - piece.from : 0), 0);
  const limit = works.length ? Math.max(worked * LONGEST_WAIT, 400) : Infinity;
  let drawn = 0;
  for (const piece of pieces) {
    piece.cut = !piece.busy && piece.to - piece.from > limit;
    piece.drawnFrom = drawn;
    drawn += piece.cut ? limit : piece.to - piece.from;
    piece.drawnTo = drawn;
  }
  const at = (time) => {
    const piece = pieces.find((one) => time <= one.to) ?? pieces.at(-1);
    if (!piece || !drawn) return 0;
    const share = piece.to > piece.from ? (time - piece.from) / (piece.to - piece.from) : 0;
    return (piece.drawnFrom + Math.max(0, Math.min(1, share)) * (piece.drawnTo - piece.drawnFrom)) / drawn;
  };
  return { at, first: edges[0], last: edges.at(-1), cuts: pieces.filter((piece) => piece.cut).map((piece) => (piece.drawnFrom + piece.drawnTo) / 2 / drawn) };
}

function axis(scale) {
  const ticks = [
    [0, "start"],
    [1, `+${duration((scale.last - scale.first) / 1000)}`],
  ];
  return h(
    "div",
    { class: "axis", "aria-hidden": "true" },
    ticks.map(([at, text]) => h("span", { style: { left: `${at * 100}%` } }, text)),
    scale.cuts.map((at) => h("span", { style: { left: `${at * 100}%` } }, "⋯")),
  );
}

function row(event, span, scale) {
  const from = scale.at(span.start);
  const to = scale.at(span.end);
  const bar =
    LASTING.has(event.kind)
      ? h("i", { style: { left: `${from * 100}%`, width: `${(to - from) * 100}%` } })
      : h("i", { class: "moment", style: { left: `${from * 100}%` } });
  const kind = KINDS[event.kind] ?? (event.kind === "refund" ? (REFUNDS[event.settled] ?? "") : "");
  const more = [event.detail, event.kind === "started" && event.worker && `on ${event.worker}`].filter(Boolean).join(" · ");
  return h(
    "li",
    { class: `${event.kind} ${kind} ${span.open ? "open" : ""}` },
    h("time", { class: "at", datetime: event.at, title: absolute(event.at) }, offset((span.start - scale.first) / 1000)),
    h("span", { class: "what" }, event.title, more && h("span", { class: "detail" }, more)),
    h("span", { class: "track", "aria-hidden": "true" }, scale.cuts.map((at) => h("span", { class: "gap", style: { left: `${at * 100}%` } })), bar),
    h("span", { class: "took" }, LASTING.has(event.kind) ? (span.open ? underWay(span) : event.seconds === null ? "not ended" : precise(event.seconds)) : ""),
  );
}

/** What has not ended goes on counting. */
function underWay(span) {
  return h("span", { title: "under way", "data-since": span.start }, duration((now() - span.start) / 1000));
}

function offset(seconds) {
  return seconds < 0.9995 || seconds >= 59.95 ? `+${duration(seconds)}` : `+${seconds.toFixed(1)} s`;
}
