// The layers of the network from the picture to the logits: a row for each, a column for each tower.

import { Tiles } from "./tiles.js";

const TIMES = "\u00a0\u00d7\u00a0"; // a size is not broken into two lines

/** Draws the outputs of layers in rows below `parent`. */
export class Towers {
  #rows = [];
  #count;

  constructor(parent, net) {
    this.#count = net.towers;
    parent.style.setProperty("--towers", net.towers);
    if (net.towers > 1) parent.append(this.#heads());
    if (net.kernels) parent.append(this.#kernels(net.kernels));
    for (const row of net.rows) {
      parent.append(row.junction ? this.#junction(row) : this.#layer(row));
    }
  }

  /**
   * Draw the outputs of all layers, by name. White is a layer's largest number, of both towers. Few
   * numbers come near to it; the power shows the others, too. Of numbers of both signs, 0 is gray.
   */
  update(layers) {
    for (const { row, tiles } of this.#rows) {
      const numbers = layers[row.layer];
      const size = numbers.length / this.#count;
      let largest = 1e-30;
      for (const number of numbers) largest = Math.max(largest, Math.abs(number));
      const gray = row.signed
        ? (number) => 127.5 + (127.5 * number) / largest
        : (number) => 255 * (number / largest) ** 0.6;
      tiles.forEach((each, tower) => {
        each.drawMaps(numbers.subarray(tower * size, (tower + 1) * size), gray);
      });
    }
  }

  #heads() {
    const heads = element("div", "pair heads");
    for (let tower = 1; tower <= this.#count; tower++) {
      heads.append(element("h2", "", `Tower ${tower}`));
    }
    return heads;
  }

  #kernels({ layer, shape: [count, side, , channels], pixels: text }) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const share = count / this.#count;
    const about = `${share} kernels of ${side}${TIMES}${side}`;
    const { section, tiles } = this.#section("kernels", `${layer}'s kernels`, about, share, side);
    tiles.forEach((each, tower) => {
      const size = bytes.length / this.#count;
      each.drawPixels(bytes.subarray(tower * size, (tower + 1) * size), channels);
    });
    return section;
  }

  #layer(row) {
    const share = row.count / this.#count;
    const sides = row.unit === "maps" ? ` of ${row.side}${TIMES}${row.side}` : "";
    const about = `${row.about}: ${share} ${row.unit}${sides}`;
    const kind = row.names[0].replace(/[\d_]+$/, "");
    const { section, tiles } = this.#section(kind, row.names.join(" + "), about, share, row.side);
    if (row.replicated) section.querySelector("p").append(", all in each tower");
    this.#rows.push({ row, tiles });
    return section;
  }

  #section(kind, name, about, share, side) {
    const section = element("section", `layer ${kind}`);
    section.append(element("h3", "", name), element("p", "", about));
    const pair = element("div", "pair");
    const tiles = [];
    for (let tower = 1; tower <= this.#count; tower++) {
      const place = this.#count > 1 ? `tower ${tower}, ` : "";
      tiles.push(new Tiles(share, side, `${place}${name}, ${about}`));
      pair.append(tiles.at(-1).canvas);
    }
    section.append(pair);
    return { section, tiles };
  }

  /** A band of lines that lead to the next layer: across where the towers meet. */
  #junction({ junction, count, unit }) {
    const words = {
      gather: `The towers meet: each goes on with all ${count} ${unit}`,
      split: `The towers part: each goes on with its own ${unit}`,
      output: "The towers meet: the sum of their logits makes the probabilities",
    };
    const band = element("div", `junction ${junction}`);
    band.append(element("p", "", words[junction]), lines(junction, this.#count));
    return band;
  }
}

function lines(junction, towers) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const middle = (tower) => (100 * (tower + 0.5)) / towers;
  for (let from = 0; from < towers; from++) {
    const ends = { gather: [...Array(towers).keys()].map(middle), split: [middle(from)], output: [50] };
    for (const to of ends[junction]) {
      const line = document.createElementNS(svg.namespaceURI, "path");
      line.setAttribute("d", `M ${middle(from)} 0 L ${to} 100`);
      svg.append(line);
    }
  }
  return svg;
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
