// Undo and redo.

const DEPTH = 60;
const ONE_EDIT_MS = 1000; // changes with the same mark that follow each other faster are one step

/** The undo steps of a state. `read()` returns a copy of the state, and `write(copy)` restores it. */
export class History {
  #undos = [];
  #redos = [];
  #last = { mark: null, at: 0 };

  constructor(read, write) {
    Object.assign(this, { read, write });
  }

  /** Save the state before it changes. Changes with one `mark` (a field's name) in quick succession are one step. */
  remember(mark = null) {
    const now = performance.now();
    const same = mark !== null && mark === this.#last.mark && now - this.#last.at < ONE_EDIT_MS && this.#undos.length > 0;
    this.#last = { mark, at: now };
    this.#redos = [];
    if (same) return;
    this.#undos.push(this.read());
    if (this.#undos.length > DEPTH) this.#undos.shift();
  }

  /** Forget all steps, because another state takes this one's place. */
  clear() {
    [this.#undos, this.#redos, this.#last] = [[], [], { mark: null, at: 0 }];
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

/** The undo steps of deeds that happen on a server or in a list: each one knows how to undo and to repeat itself. */
export class Deeds {
  #undos = [];
  #redos = [];

  /** Note a deed that was done: {undo, redo}, two functions. */
  done(deed) {
    this.#undos.push(deed);
    this.#redos = [];
    if (this.#undos.length > DEPTH) this.#undos.shift();
  }

  get canUndo() {
    return this.#undos.length > 0;
  }

  get canRedo() {
    return this.#redos.length > 0;
  }

  undo = () => this.#go(this.#undos, this.#redos, "undo");
  redo = () => this.#go(this.#redos, this.#undos, "redo");

  #go(from, to, way) {
    const deed = from.pop();
    if (!deed) return;
    to.push(deed);
    deed[way]();
  }
}
