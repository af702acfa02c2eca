// Whether this login may act. A viewer's may read only: buttons that change something are left out, and the worker would
// refuse what they do.

let may = true;

/** Said once, before anything is shown. */
export function setMayAct(allowed) {
  may = allowed;
}

export function mayAct() {
  return may;
}

/** Buttons that change something; none for a viewer. */
export function acting(...buttons) {
  return may ? buttons : [];
}

export const READ_ONLY = "You read with the viewer's token: what changes something needs the operator's.";
