// The probabilities as bars, and the most probable class in words.

const MOST = 10; // of many classes, the most probable ones are shown

/** Bars in a list; of ten classes or fewer in their order, of more the most probable first. */
export class Bars {
  #rows;
  #answer;
  #names;
  #timer = 0;

  constructor(list, answer, names) {
    [this.#answer, this.#names] = [answer, names];
    this.#rows = Array.from({ length: Math.min(MOST, names.length) }, () => {
      const row = document.createElement("li");
      row.innerHTML = "<b></b><i><span></span></i><small></small>";
      list.append(row);
      return row;
    });
    list.classList.toggle("short", names.every((name) => name.length < 3));
    this.show(null);
  }

  /** Show probabilities, or null for none. */
  show(probabilities) {
    const order = this.#names.map((_, number) => number);
    const values = probabilities ?? this.#names.map(() => 0);
    const best = order.reduce((a, b) => (values[b] > values[a] ? b : a));
    if (order.length > MOST) order.sort((a, b) => values[b] - values[a]);
    this.#rows.forEach((row, place) => {
      const number = order[place];
      const [name, bar, percent] = row.children;
      name.textContent = this.#names[number];
      bar.firstChild.style.width = `${100 * values[number]}%`;
      percent.textContent = probabilities ? `${(100 * values[number]).toFixed(1)} %` : "";
      row.classList.toggle("best", Boolean(probabilities) && number === best);
    });
    this.#say(probabilities ? `${this.#names[best]}, ${(100 * values[best]).toFixed(0)} %` : "\u00a0");
  }

  /** Write the answer once the hand rests: a screen reader reads each one aloud. */
  #say(words) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#answer.textContent = words;
    }, 300);
  }
}
