// Back leads to where one was: a browser restores that too early, before a view has read what it shows.

const PATIENCE_MS = 3000;
const OWN_DOING = ["wheel", "touchstart", "keydown", "pointerdown"]; // who scrolls is not scrolled

export class Scroll {
  #saving = 0;
  #wanted = null; // where it is to go once the page is long enough
  #frame = 0;

  constructor() {
    history.scrollRestoration = "manual";
    window.addEventListener("scroll", this.#onScroll, { passive: true });
    for (const type of OWN_DOING) window.addEventListener(type, this.#giveIn, { passive: true });
  }

  stop() {
    this.leave();
    window.removeEventListener("scroll", this.#onScroll);
    for (const type of OWN_DOING) window.removeEventListener(type, this.#giveIn);
  }

  /** Before a view is replaced: what the browser says of scrolling from now on is not the person's doing. */
  leave() {
    clearTimeout(this.#saving);
    cancelAnimationFrame(this.#frame);
    this.#wanted = history.state?.y ?? 0;
  }

  /** A view has been opened: a place that was left before has its position, a new one begins at the top. */
  arrive() {
    const until = performance.now() + PATIENCE_MS;
    const go = () => {
      if (this.#wanted === null) return;
      window.scrollTo(0, this.#wanted);
      if (Math.abs(window.scrollY - this.#wanted) < 2 || performance.now() > until) this.#wanted = null;
      else this.#frame = requestAnimationFrame(go);
    };
    go();
  }

  #giveIn = () => {
    this.#wanted = null;
  };

  #onScroll = () => {
    if (this.#wanted !== null) return;
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => history.replaceState({ y: window.scrollY }, ""), 100);
  };
}
