// From what is drawn or chosen to the pixels that a network sees. An image here is
// { pixels, height, width, channels }, with pixels [height, width, channels] from 0 to 255.

const MNIST = { side: 28, box: 20 };

/** Make an image of a canvas, without its opacity. */
export function fromCanvas(canvas) {
  const { width, height } = canvas;
  const rgba = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const pixels = new Uint8ClampedArray(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    pixels.set(rgba.subarray(4 * i, 4 * i + 3), 3 * i);
  }
  return { pixels, height, width, channels: 3 };
}

/** Whether nothing is drawn: every pixel is black. */
export function isBlank(image) {
  return image.pixels.every((value) => value === 0);
}

/**
 * Scale and center a drawn digit as MNIST's makers did: its longer side becomes 20 pixels, gray
 * where a pixel is covered in part, and its center of mass the center of 28 x 28 pixels.
 */
export function centerDigit(image) {
  const { left, right, top, bottom, x, y } = extent(image);
  const scale = Math.max(right - left, bottom - top) / MNIST.box;
  const { side } = MNIST;
  const start = (center) => center - (side / 2) * scale;
  const rows = covered(image.height, side, start(y), scale);
  const columns = covered(image.width, side, start(x), scale);
  return along(along(image, "width", columns), "height", rows);
}

/** Edges and center of mass of what is drawn. A pixel belongs to it from half of white on. */
function extent({ pixels, height, width, channels }) {
  let [left, right, top, bottom] = [width, 0, height, 0];
  let [mass, x, y] = [0, 0, 0];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const value = pixels[(row * width + column) * channels];
      if (!value) continue;
      mass += value;
      x += value * (column + 0.5);
      y += value * (row + 0.5);
      if (value < 128) continue;
      left = Math.min(left, column);
      right = Math.max(right, column + 1);
      top = Math.min(top, row);
      bottom = Math.max(bottom, row + 1);
    }
  }
  return { left, right, top, bottom, x: x / mass, y: y / mass };
}

/** The share of each new pixel that each old one covers; outside there is black. */
function covered(side, size, start, scale) {
  return Array.from({ length: size }, (_, i) => {
    const [from, to] = [start + i * scale, start + (i + 1) * scale];
    const first = Math.max(0, Math.floor(from));
    const end = Math.min(side, Math.ceil(to));
    const weights = [];
    for (let k = first; k < end; k++) {
      weights.push((Math.min(k + 1, to) - Math.max(k, from)) / scale);
    }
    return { first, weights };
  });
}

/** Resize an image to a square as training does, by Pillow's rule: `resize_images` in Python. */
export function resize(image, { stored_size: size, resize: rule, interpolation }) {
  const { height, width } = image;
  if (height === size && width === size) return image;
  const shorter = Math.min(height, width);
  const whole = [height, width].map((side) =>
    rule === "shorter side" ? Math.floor((size * side) / shorter) : size,
  );
  const axis = (side, name, total) => {
    const scale = rule === "central square" ? shorter / size : side / total;
    let start = 0;
    if (rule === "shorter side") start = roundHalfToEven((total - size) / 2) * scale;
    if (rule === "central square") start = Math.floor((side - shorter) / 2);
    return [name, filtered(side, size, start, scale, interpolation)];
  };
  const axes = [axis(width, "width", whole[1]), axis(height, "height", whole[0])];
  // Pillow rounds after each axis, and begins with the one that shrinks most.
  if (height - whole[0] > Math.max(0, 2 * (width - whole[1]))) axes.reverse();
  return axes.reduce((result, [name, taps]) => along(result, name, taps), image);
}

function roundHalfToEven(x) {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 ? floor + 1 : floor;
}

const FILTERS = {
  linear: { radius: 1, at: (x) => Math.max(1 - x, 0) },
  // Keys's cubic convolution with a = -1/2.
  cubic: {
    radius: 2,
    at: (x) =>
      x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0,
  },
};

/** The weights of a filter that widens where an image shrinks. Their sum is 1. */
function filtered(side, size, start, scale, interpolation) {
  const { radius, at } = FILTERS[interpolation];
  const unit = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const center = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - radius * unit));
    const end = Math.min(side, Math.ceil(center + radius * unit));
    const weights = [];
    for (let k = first; k < end; k++) weights.push(at(Math.abs(k + 0.5 - center) / unit));
    const sum = weights.reduce((a, b) => a + b);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Replace the pixels along an axis by weighted sums of them, rounded to whole numbers. */
function along({ pixels, height, width, channels }, axis, taps) {
  const across = axis === "width";
  const size = { height, width, [axis]: taps.length };
  const step = across ? channels : width * channels;
  const result = new Uint8ClampedArray(size.height * size.width * channels);
  let place = 0;
  for (let row = 0; row < size.height; row++) {
    for (let column = 0; column < size.width; column++) {
      const { first, weights } = taps[across ? column : row];
      const start = across ? (row * width + first) * channels : (first * width + column) * channels;
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) {
          sum += weights[k] * pixels[start + channel + k * step];
        }
        result[place++] = Math.floor(sum + 0.5);
      }
    }
  }
  return { pixels: result, ...size, channels };
}
