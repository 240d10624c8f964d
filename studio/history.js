// Undo and redo.

const DEPTH = 60;
const ONE_EDIT_MS = 1000; // changes with the same mark that follow each other faster are one step, or that one press makes

let press = 0; // the press of a pointer that is under way: a number of its own, or 0
let presses = 0;
addEventListener("pointerdown", () => (press = ++presses), true);
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => (press = 0), true);

/** The undo steps of a state. `read()` returns a copy of the state, and `write(copy)` restores it. */
export class History {
  #undos = [];
  #redos = [];
  #last = { mark: null };

  constructor(read, write) {
    Object.assign(this, { read, write });
  }

  /** Save the state before it changes. Changes with one `mark` (a field's name) in quick succession, or in one drag, are one step. */
  remember(mark = null) {
    const at = performance.now();
    const last = this.#last;
    const same = mark !== null && mark === last.mark && (at - last.at < ONE_EDIT_MS || (press && press === last.press)) && this.#undos.length > 0;
    this.#last = { mark, at, press };
    this.#redos = [];
    if (same) return;
    this.#undos.push(this.read());
    if (this.#undos.length > DEPTH) this.#undos.shift();
  }

  /** Forget all steps, because another state takes this one's place. */
  clear() {
    [this.#undos, this.#redos, this.#last] = [[], [], { mark: null }];
  }

  get canUndo() {
    return this.#undos.length > 0;
  }

  get canRedo() {
    return this.#redos.length > 0;
  }

  undo = () => this.#go(this.#undos, this.#redos);
  redo = () => this.#go(this.#redos, this.#undos);

  #go(from, to) {
    if (!from.length) return;
    this.#last.mark = null;
    to.push(this.read());
    this.write(from.pop());
  }
}
