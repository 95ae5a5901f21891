// The network: an ONNX model that takes a picture, and returns the outputs of layers and the logits.

import * as ort from "./runtime/ort.js";

// Threads would need headers from the server that isolate the page.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("runtime/ort.wasm", import.meta.url).href };

/** Read net.json, the description of the network. */
export async function describe() {
  const response = await fetch(new URL("net.json", import.meta.url));
  if (!response.ok) throw new Error(`net.json: ${response.status} ${response.statusText}`);
  return response.json();
}

/**
 * Load the model; return a function of a picture, Uint8Array [size, size, 3].
 *
 * Its result has `layers`, by name a Float32Array [maps, height, width] or [features], and
 * `probabilities`, an array.
 */
export async function load(net) {
  const model = new URL("net.onnx", import.meta.url).href;
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const size = net.input.stored_size;
  return async (pixels) => {
    const pictures = new ort.Tensor("uint8", pixels, [1, size, size, 3]);
    const { scores, ...outputs } = await session.run({ pictures });
    const layers = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      layers[name.replace("layers/", "")] = tensor.data;
    }
    return { layers, probabilities: softmax(scores.data) };
  };
}

function softmax(scores) {
  const largest = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}
