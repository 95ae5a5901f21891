// What a reader can choose in place of drawing: digits of other people, or a picture file.

import { toCanvas } from "./drawing.js";
import { fromCanvas, resize } from "./pictures.js";

const SIDE = 28;

/** Offer the ten digits of digits.png as buttons, and show one of them. */
export async function offerSamples(place, input, drawing) {
  const strip = await decode(await (await fetch(new URL("digits.png", import.meta.url))).blob());
  for (let digit = 0; digit * SIDE < strip.width; digit++) {
    const image = part(strip, digit * SIDE);
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `Sample digit ${digit}`);
    button.append(toCanvas(image));
    button.addEventListener("click", () => drawing.show(resize(image, input)));
    place.append(button);
  }
  place.hidden = false;
  place.children[3].click();
}

/** Offer a picture file, also dropped on the canvas, and the color of the pen. */
export function offerPictures(file, ink, input, drawing) {
  const open = async (blob) => {
    try {
      drawing.show(resize(fromCanvas(await decode(blob)), input));
    } catch {
      document.getElementById("state").textContent = "That file is no picture for this browser.";
    }
  };
  const [chooser, pen] = [file.querySelector("input"), ink.querySelector("input")];
  chooser.addEventListener("change", () => chooser.files[0] && open(chooser.files[0]));
  drawing.canvas.addEventListener("dragover", (event) => event.preventDefault());
  drawing.canvas.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
  pen.addEventListener("input", () => {
    drawing.color = pen.value;
  });
  file.hidden = false;
  ink.hidden = input.gray;
}

/** A canvas with the pixels of a file, unchanged by a profile of colors. */
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0);
  return canvas;
}

function part(canvas, left) {
  const piece = document.createElement("canvas");
  Object.assign(piece, { width: SIDE, height: SIDE });
  piece.getContext("2d").drawImage(canvas, -left, 0);
  return fromCanvas(piece);
}
