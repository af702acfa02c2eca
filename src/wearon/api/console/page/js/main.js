// The shell: who is here, which view is shown, how live it is.

import { mayAct, READ_ONLY, setMayAct } from "./acting.js";
import { ApiError, get, post } from "./api.js";
import { Blindness } from "./blind.js";
import { h, icon, put, say, show, visible } from "./dom.js";
import { Live } from "./live.js";
import { Scroll } from "./scroll.js";
import { busy, closeDialogs, failure, pill } from "./ui.js";
import { ActionsView } from "./views/actions.js";
import { NowView } from "./views/now.js";
import { SessionsView } from "./views/sessions.js";
import { SizeView } from "./views/size.js";
import { TryOnView } from "./views/try_on.js";

const VIEWS = [
  { path: "now", mark: "now", short: "Now", name: "Now", view: NowView },
  { path: "sessions", mark: "sessions", short: "Sessions", name: "Sessions", view: SessionsView },
  { path: "desk", mark: "desk", short: "Refunds", name: "Dead letters & refunds", view: ActionsView },
  { path: "size", mark: "size", short: "Size", name: "Size studio", view: SizeView },
  { path: "try-on", mark: "try", short: "Try-on", name: "Try-on studio", view: TryOnView, when: (hello) => hello.try_on && hello.may_act },
];

const app = document.getElementById("app");
let end = () => {};

async function begin() {
  end();
  end = () => {};
  try {
    openShell(await get("hello"));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) openGate();
    else show(app, h("main", { class: "gate", id: "main" }, h("div", { class: "card" }, brand("h1"), failure(error, begin))));
  }
}

// Followed as a link it would change the address, which says what is shown.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  const main = document.getElementById("main");
  main?.setAttribute("tabindex", "-1");
  main?.focus();
});

window.addEventListener("login-needed", () => {
  if (!document.querySelector(".gate")) openGate();
});

function openGate() {
  end();
  end = () => {};
  document.title = "Log in · WearOn console";
  const token = h("input", { type: "password", id: "token", name: "token", autocomplete: "current-password", required: true });
  const error = h("p", { class: "error", role: "alert" });
  const button = h("button", { class: "button primary", type: "submit" }, "Log in");
  const logIn = async (event) => {
    event.preventDefault();
    button.disabled = true;
    say(error, "");
    try {
      await post("login", { json: { token: token.value } });
      await begin();
    } catch (refusal) {
      say(error, refusal.message);
      token.select();
    } finally {
      button.disabled = false;
    }
  };
  const form = h("form", { class: "card", onsubmit: logIn }, brand("h1"), h("p", { class: "muted" }, "Log in with the operator's token, or with the viewer's to read only."), h("div", { class: "field" }, h("label", { for: "token" }, "API token"), token), error, button);
  show(app, h("main", { class: "gate", id: "main" }, form));
  token.focus();
}

function openShell(hello) {
  setMayAct(hello.may_act);
  const live = new Live();
  const views = VIEWS.filter((one) => !one.when || one.when(hello));
  const main = h("main", { id: "main", tabindex: "-1" });
  const counts = new Map();
  const links = views.map((one) => {
    const number = h("span", { class: "count", hidden: true });
    counts.set(one.path, number);
    return h("li", {}, h("a", { href: `#/${one.path}`, "data-path": one.path }, icon(one.mark), h("span", { class: "wide" }, one.name), h("span", { class: "narrow" }, one.short), number));
  });
  const health = h("span", { class: "health" });
  const liveness = h("span", { role: "status" });
  const rail = h("div", { class: "rail" }, brand("a"), h("nav", { class: "nav", "aria-label": "Views" }, h("ul", {}, links)), h("p", { class: "foot" }, `WearOn ${hello.version}`));
  const topbar = h(
    "header",
    { class: "topbar" },
    brand("a"),
    h("span", { class: "pill" }, hello.mode === "local" ? "Local mode" : "Production"),
    !mayAct() && h("span", { class: "pill warn", title: READ_ONLY }, "Read only"),
    h("span", { class: "spacer" }),
    health,
    liveness,
    themeButton(),
    hello.logged_in && logOutButton(),
  );
  const blindness = new Blindness(main);
  show(app, h("div", { class: "shell" }, rail, h("div", { class: "stage" }, topbar, blindness.element, main)));

  let current = null;
  let first = true;
  const scroll = new Scroll();
  const route = () => {
    const [address, query] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
    const [path, ...rest] = address.split("/").map(decode);
    const chosen = views.find((one) => one.path === path) ?? views[0];
    current?.destroy?.();
    closeDialogs();
    for (const link of rail.querySelectorAll("nav a")) {
      if (link.dataset.path === chosen.path) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    // Tabs of several sessions, and of several installations, are told apart.
    const setTitle = (text) => (document.title = `${visible(text)} · WearOn ${hello.mode === "local" ? "local" : location.host}`);
    setTitle(chosen.name);
    scroll.leave();
    show(main);
    current = new chosen.view({ main, live, hello, rest, query: new URLSearchParams(query), setTitle });
    if (live.latest) current.update?.(blindness.complete(live.latest));
    if (!first) {
      const heading = main.querySelector("h1");
      heading?.setAttribute("tabindex", "-1");
      heading?.focus({ preventScroll: true });
    }
    scroll.arrive();
    first = false;
  };

  live.addEventListener("now", () => {
    const now = blindness.complete(live.latest);
    const well = now.status === "ok" && !now.problems.length;
    setOnce(health, `${now.status}${well}`, () => (well ? pill("good", "All is well", "check") : pill(now.status === "ok" ? "warn" : "bad", now.status === "ok" ? "Needs a look" : "Degraded", "warn")));
    const cases = now.queues ? now.queues.dead_letters + now.queues.refunds + now.queues.refunds_by_hand : 0;
    const number = counts.get("desk");
    number.hidden = cases === 0;
    say(number, cases > 99 ? "99+" : cases);
    number.title = `${cases} waiting`;
    current?.update?.(now);
    blindness.tell(live);
  });
  const showLiveness = () => {
    const [kind, text] = {
      live: ["good live", "Live"],
      connecting: ["", "Connecting"],
      stale: ["warn", "Not up to date"],
      lost: ["bad", "Disconnected, trying again"],
      stopped: ["", "Stopped, waiting for its return"],
      paused: ["", "Paused"],
    }[live.state];
    show(liveness, pill(kind, text));
    health.hidden = live.state !== "live"; // "All is well" is said of now, or not at all
    blindness.tell(live);
  };
  live.addEventListener("state", showLiveness);
  showLiveness();
  window.addEventListener("hashchange", route);
  end = () => {
    live.stop();
    scroll.stop();
    closeDialogs();
    current?.destroy?.();
    window.removeEventListener("hashchange", route);
  };
  route();
  live.start();
}

function setOnce(element, key, make) {
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  show(element, make());
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** While the worker does not answer nobody is logged out, and the page does not look as if. */
function logOutButton() {
  const logOut = async () => {
    await post("logout");
    openGate();
  };
  const button = h("button", { class: "button plain", type: "button", title: "Log out", "aria-label": "Log out", onclick: () => busy(button, logOut) }, icon("out"));
  return button;
}

function brand(tag) {
  const face = [h("span", { class: "mark" }, icon("hanger")), h("span", {}, "WearOn")];
  return tag === "a" ? h("a", { class: "brand", href: "#/now" }, face) : put(h(tag, { class: "brand" }), face);
}

function themeButton() {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const label = () => (isDark() ? "Switch to light" : "Switch to dark");
  const change = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("wearon-theme", root.dataset.theme);
    } catch {
      // Then it lasts as long as the page.
    }
    button.title = label();
    button.setAttribute("aria-label", label());
  };
  const button = h("button", { class: "button plain", type: "button", title: label(), "aria-label": label(), onclick: change }, icon("theme"));
  return button;
}

begin();
