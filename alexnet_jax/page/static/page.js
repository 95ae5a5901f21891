// Wires the page: the drawing, the network, and what is shown of both.

import { Bars } from "./bars.js";
import { Drawing, toCanvas } from "./drawing.js";
import { describe, load } from "./network.js";
import { centerDigit, fromCanvas, isBlank, resize } from "./pictures.js";
import { offerPictures, offerSamples } from "./sources.js";
import { Towers } from "./towers.js";

const find = (name) => document.getElementById(name);

document.body.dataset.state = "loading";
try {
  await start();
} catch (error) {
  find("state").textContent = `This page does not work here: ${error.message}`;
  document.body.dataset.state = "failed";
}

async function start() {
  find("state").textContent = "Loading the network …";
  const net = await describe();
  const millions = (net.parameters / 1e6).toFixed(1);
  const towers = net.towers > 1 ? `${net.towers} towers` : "one tower";
  find("about").textContent =
    `${net.name}, ${towers}, ${millions} million parameters, computed here after each stroke`;
  if (net.towers === 1) find("title").textContent = "Draw, and watch the network";
  const view = new Towers(find("towers"), net);
  const bars = new Bars(find("bars"), find("answer"), net.classes);
  let run = null;
  const update = onePerFrame(async () => {
    find("hint").hidden = !isBlank(fromCanvas(drawing.canvas));
    const image = seenByNetwork(drawing, net.input);
    showSeen(image);
    if (!run) return;
    const { layers, probabilities } = await run(new Uint8Array(image.pixels));
    view.update(layers);
    bars.show(isBlank(image) ? null : probabilities);
  });
  const drawing = new Drawing(find("drawing"), () => update());
  drawing.keepsPicture = !net.input.centered;
  find("clear").addEventListener("click", () => drawing.clear());
  describeInput(net.input);
  if (net.input.centered) await offerSamples(find("samples"), net.input, drawing);
  else offerPictures(find("file"), find("ink"), net.input, drawing);
  run = await load(net);
  const choice = net.input.centered ? "Draw a digit, or choose one." : "Draw, or choose a picture.";
  find("state").textContent = choice;
  await update();
  document.body.dataset.state = "ready";
}

/** The image that goes into the network, [stored_size, stored_size, 3]. */
function seenByNetwork(drawing, input) {
  if (drawing.shown) return drawing.shown;
  const drawn = fromCanvas(drawing.canvas);
  return resize(input.centered && !isBlank(drawn) ? centerDigit(drawn) : drawn, input);
}

function showSeen(image) {
  const canvas = find("seen").querySelector("canvas");
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").drawImage(toCanvas(image), 0, 0);
}

function describeInput({ centered, stored_size: stored, input_size: size }) {
  const crop = size < stored ? `, of which it reads the central ${size} × ${size}` : "";
  const how = centered ? "scaled and centered as MNIST's digits are" : "resized as in training";
  find("how").textContent =
    `The network sees the drawing ${how}, in ${stored} × ${stored} pixels${crop}. ` +
    "White is the largest number of a layer.";
  find("license").hidden = !centered;
}

/** A function that runs `work` at the next frame, however often it is called before. */
function onePerFrame(work) {
  let [waiting, working] = [null, Promise.resolve()];
  return () => {
    waiting ??= new Promise((resolve) => requestAnimationFrame(resolve)).then(async () => {
      await working; // a slow network: the latest drawing is next
      waiting = null;
      working = work();
      return working;
    });
    return waiting;
  };
}
