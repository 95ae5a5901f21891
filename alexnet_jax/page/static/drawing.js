// The canvas that one draws on, and pictures that are shown there in place of a drawing.

const PEN = 22; // of 280 pixels: a digit that fills the canvas gets strokes as wide as MNIST's

/** A canvas for a mouse, a pen and fingers. It calls `changed` after each change. */
export class Drawing {
  #canvas;
  #context;
  #changed;
  #last = new Map(); // the latest point of each pointer that is down
  #shown = null; // the image on the canvas that nobody has drawn on
  color = "#ffffff";
  keepsPicture = false; // whether one may draw on a shown picture, in place of beginning anew

  constructor(canvas, changed) {
    this.#canvas = canvas;
    // Read after every stroke: faster where the pixels stay in main memory.
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    this.#changed = changed;
    this.clear();
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.#last.delete(event.pointerId));
    }
  }

  get canvas() {
    return this.#canvas;
  }

  /** The image that is shown as it is, null if somebody has drawn. */
  get shown() {
    return this.#shown;
  }

  clear() {
    this.#context.fillStyle = "#000000";
    this.#context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#shown = null;
    this.#changed();
  }

  /** Show an image, { pixels, height, width, channels: 3 }, scaled to the canvas. */
  show(image) {
    const { width, height } = this.#canvas;
    this.#context.drawImage(toCanvas(image), 0, 0, width, height);
    this.#shown = image;
    this.#changed();
  }

  #down(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.#canvas.setPointerCapture(event.pointerId);
    if (this.#shown && !this.keepsPicture) this.clear();
    const point = this.#point(event);
    this.#last.set(event.pointerId, point);
    this.#line(point, point);
    this.#finish();
  }

  #move(event) {
    const last = this.#last.get(event.pointerId);
    if (!last) return;
    // A fast hand makes several points a frame.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) {
      const point = this.#point(each);
      this.#line(this.#last.get(event.pointerId), point);
      this.#last.set(event.pointerId, point);
    }
    this.#finish();
  }

  #finish() {
    this.#shown = null;
    this.#changed();
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const scale = this.#canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  #line(from, to) {
    const context = this.#context;
    context.strokeStyle = this.color;
    context.lineWidth = PEN;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  }
}

/** A canvas with the pixels of an image. */
export function toCanvas({ pixels, height, width, channels }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const data = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data.data[4 * i + c] = pixels[i * channels + (c % channels)];
    data.data[4 * i + 3] = 255;
  }
  context.putImageData(data, 0, 0);
  return canvas;
}
