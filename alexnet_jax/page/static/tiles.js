// Maps, kernels and features as tiles on a canvas, side by side in rows.

/** Columns for some tiles, that divide them if possible: more where the tiles can be small. */
function columnsFor(count, side) {
  const wider = side > 6 ? 2 : side > 1 ? 4 : 8; // than high
  const least = Math.min(count, Math.max(6, Math.ceil(Math.sqrt(wider * count))));
  for (let columns = least; columns < 2 * least; columns++) {
    if (count % columns === 0) return columns;
  }
  return least;
}

/** Tiles of `count` square maps. The canvas is as wide as its place. */
export class Tiles {
  #side;
  #count;
  #columns;
  #source = document.createElement("canvas"); // the maps without gaps, a pixel for each number
  #pixels;
  #drawn = false;

  constructor(count, side, label) {
    [this.#count, this.#side, this.#columns] = [count, side, columnsFor(count, side)];
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    const rows = Math.ceil(count / this.#columns);
    this.canvas.style.aspectRatio = `${this.#columns} / ${rows}`; // until it is measured
    Object.assign(this.#source, { width: this.#columns * side, height: rows * side });
    this.#pixels = this.#source.getContext("2d").createImageData(
      this.#source.width,
      this.#source.height,
    );
    new ResizeObserver(() => this.#fit()).observe(this.canvas);
  }

  /** Draw numbers of [count, side, side], where `gray` makes 0 to 255 of each. */
  drawMaps(numbers, gray) {
    this.#fill((map, pixel) => {
      const level = gray(numbers[map * this.#side ** 2 + pixel]);
      return [level, level, level];
    });
  }

  /** Draw pixels of [count, side, side, channels], from 0 to 255. */
  drawPixels(pixels, channels) {
    this.#fill((map, pixel) => {
      const start = (map * this.#side ** 2 + pixel) * channels;
      return [0, 1, 2].map((channel) => pixels[start + (channel % channels)]);
    });
  }

  #fill(colorOf) {
    const [side, columns] = [this.#side, this.#columns];
    const data = this.#pixels.data;
    for (let map = 0; map < this.#count; map++) {
      const [top, left] = [Math.floor(map / columns) * side, (map % columns) * side];
      for (let pixel = 0; pixel < side * side; pixel++) {
        const [y, x] = [top + Math.floor(pixel / side), left + (pixel % side)];
        const place = 4 * (y * this.#source.width + x);
        const [red, green, blue] = colorOf(map, pixel);
        data[place] = red;
        data[place + 1] = green;
        data[place + 2] = blue;
        data[place + 3] = 255;
      }
    }
    this.#source.getContext("2d").putImageData(this.#pixels, 0, 0);
    this.#drawn = true;
    this.#paint();
  }

  /** Give the canvas a pixel for each pixel of the screen. */
  #fit() {
    const width = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (!width) return;
    const { pitch, gap } = this.#measures(width);
    const height = Math.round(Math.ceil(this.#count / this.#columns) * pitch) - gap;
    if (this.canvas.width === width && this.canvas.height === height) return;
    Object.assign(this.canvas, { width, height });
    this.canvas.style.aspectRatio = `${width} / ${height}`;
    if (this.#drawn) this.#paint();
  }

  /** Pixels from a tile to the next, a fraction among them, and between two. */
  #measures(width) {
    const gap = Math.max(1, Math.round((this.#side > 1 ? 2 : 1) * devicePixelRatio));
    return { pitch: (width + gap) / this.#columns, gap };
  }

  #paint() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = false;
    const [side, columns] = [this.#side, this.#columns];
    const { pitch, gap } = this.#measures(this.canvas.width);
    for (let map = 0; map < this.#count; map++) {
      const [row, column] = [Math.floor(map / columns), map % columns];
      const [x, y] = [Math.round(column * pitch), Math.round(row * pitch)];
      const width = Math.round((column + 1) * pitch) - gap - x;
      const height = Math.round((row + 1) * pitch) - gap - y;
      const source = [column * side, row * side, side, side];
      context.drawImage(this.#source, ...source, x, y, width, height);
    }
  }
}
