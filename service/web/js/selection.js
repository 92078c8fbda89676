// Which tracks are chosen: some by hand, a run of them with Shift, or all under the filter.

/** Told of every change by `onChange()`. */
export class Selection {
  constructor(onChange) {
    this.onChange = onChange;
    this.clear(false);
  }

  clear(tell = true) {
    this.chosen = new Set();
    this.spared = new Set();
    this.everything = false;
    this.anchor = null;
    if (tell) this.onChange();
  }

  has(id) {
    return this.everything ? !this.spared.has(id) : this.chosen.has(id);
  }

  /** How many are chosen when `total` tracks pass the filter. */
  size(total) {
    return this.everything ? Math.max(0, total - this.spared.size) : this.chosen.size;
  }

  set(id, wanted) {
    const there = this.everything ? this.spared : this.chosen;
    if (wanted === this.everything) there.delete(id);
    else there.add(id);
  }

  /** Choose or drop one; with `run`, everything between it and the one touched before. */
  touch(id, wanted, { order, run }) {
    const from = order.indexOf(this.anchor);
    const to = order.indexOf(id);
    if (run && from >= 0 && to >= 0) {
      for (let i = Math.min(from, to); i <= Math.max(from, to); i += 1) this.set(order[i], wanted);
    } else this.set(id, wanted);
    this.anchor = id;
    this.onChange();
  }

  chooseShown(ids, wanted) {
    for (const id of ids) this.set(id, wanted);
    this.onChange();
  }

  chooseEverything() {
    this.chosen.clear();
    this.spared.clear();
    this.everything = true;
    this.onChange();
  }

  drop(id) {
    this.set(id, false);
  }
}
