/** What arrived, in order, for whoever asks for the next that is wanted. */
export class Inbox {
  #kept = [];
  #wake = () => {};
  put = (message) => {
    this.#kept.push(message);
    this.#wake();
  };
  async next(wanted) {
    for (;;) {
      while (this.#kept.length) {
        const message = this.#kept.shift();
        if (wanted(message)) return message;
      }
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}
