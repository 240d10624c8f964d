// Undo and redo of deeds, for the step Choose.

const DEPTH = 60;

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
