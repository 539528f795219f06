// TensorFlow.js as a program: node tfjs.mjs cpu, or wasm. Arrays are channels-last.
//
// TensorFlow.js judges the arguments. What it takes no padding for is padded first, by tf.pad; what
// it does not see then, or gets computed from the arguments, is checked here.
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import { serve } from "./serve.mjs";

class Unsupported extends Error {}

// The messages of a valid call that a backend has no kernel for.
const gaps = new RegExp(
  [
    "Kernel '\\w+' not registered for backend",
    "Either strides? or dilations? must be 1",
    "dilation rates greater than 1 are not yet supported",
  ].join("|"),
  "i",
);
const check = (holds, message) => {
  if (!holds) throw new Error(message);
};
const any = (padding) => padding.some((pair) => pair.some((end) => end !== 0));
const pairs = (padding) => check(padding.every((pair) => pair.length === 2), "no pairs of padding");
const around = (padding) => {
  pairs(padding);
  return [[0, 0], ...padding, [0, 0]];
};
const spatial = (t) => t.shape.slice(1, -1);

function padded(t, padding, fill, kernel) {
  check(padding.length === t.rank - 2, `${padding.length} paddings of ${t.rank - 2} axes`);
  pairs(padding);
  check(padding.flat().every((end) => end >= 0), "negative padding");
  check(!spatial(t).includes(0), "an empty axis");
  const half = (pair, axis) => 2 * Math.max(...pair) <= kernel[axis];
  check(!kernel || padding.every(half), "padding beyond half of the kernel");
  return (reach = padding) => (any(reach) ? tf.pad(t, around(reach), fill) : t);
}

function addBias(y, bias) {
  if (bias === null) return y;
  check(bias.shape.join() === `${y.shape.at(-1)}`, `a bias of shape [${bias.shape}]`); // tf.add broadcasts
  return tf.add(y, bias);
}

function conv(t, w, bias, p) {
  const [channels, perGroup, outputs] = [t.shape.at(-1), w.shape.at(-2), w.shape.at(-1)];
  const split = p.groups !== 1;
  if (split) {
    check(p.groups >= 1 && channels === perGroup * p.groups, "groups that do not suit the channels");
    check(outputs % p.groups === 0, "groups that do not suit the outputs");
    if (perGroup > 1 || t.rank !== 4) throw new Unsupported("groups: depthwiseConv2d alone");
  }
  if (t.rank === 3) return addBias(conv1d(t, w, p), bias);
  if (t.rank === 5) {
    const whole = padded(t, p.padding, 0)();
    return addBias(tf.conv3d(whole, w, p.stride, "valid", "NDHWC", p.dilation), bias);
  }
  if (!split) return addBias(tf.conv2d(t, w, p.stride, around(p.padding), "NHWC", p.dilation), bias);
  const depthwise = tf.reshape(w, [...w.shape.slice(0, 2), channels, outputs / channels]);
  const y = tf.depthwiseConv2d(t, depthwise, p.stride, around(p.padding), "NHWC", p.dilation);
  return addBias(y, bias);
}

function conv1d(t, w, { stride, padding, dilation }) {
  for (const one of [stride, padding, dilation]) check(one.length === 1, "one axis is due");
  const pads = around([[0, 0], ...padding]); // it is a conv2d of one row
  return tf.conv1d(t, w, stride[0], pads, "NWC", dilation[0]);
}

function convTranspose(t, w, bias, p) {
  if (t.rank === 3) throw new Unsupported("no conv1dTranspose");
  check(p.groups >= 1, "groups below 1");
  if (p.groups > 1) throw new Unsupported("no groups");
  if (p.dilation.some((d) => d > 1)) throw new Unsupported("no dilation");
  const dims = t.rank - 2;
  for (const one of [p.stride, p.padding, p.dilation, p.output_padding])
    check(one.length === dims, `${dims} axes are due`);
  pairs(p.padding);
  check(p.padding.flat().every((end) => end >= 0), "negative padding");
  check(p.dilation.every((d) => d === 1), "a dilation below 1");
  check(p.output_padding.every((n, a) => n >= 0 && n < p.stride[a]), "output_padding of stride or more");
  const whole = spatial(t).map((n, a) => (n - 1) * p.stride[a] + w.shape[a] + p.output_padding[a]);
  const size = whole.map((n, a) => n - p.padding[a][0] - p.padding[a][1]);
  check(size.every((n) => n > 0), "padding crops the whole result");
  const [batch, outputs] = [t.shape[0], w.shape.at(-2)];
  const pads = around(p.padding);
  if (dims === 2)
    return addBias(tf.conv2dTranspose(t, w, [batch, ...size, outputs], p.stride, pads), bias);
  const y = tf.conv3dTranspose(t, w, [batch, ...whole, outputs], p.stride, "valid");
  const begin = [0, ...p.padding.map((pair) => pair[0]), 0];
  return addBias(any(p.padding) ? tf.slice(y, begin, [batch, ...size, outputs]) : y, bias);
}

// The padding that the windows of a pool read, and whether rounding up makes windows to be dropped.
function windows(t, { kernel, stride, padding, ceil_mode, dilation = kernel.map(() => 1) }) {
  pairs(padding);
  let dropped = false;
  const reach = padding.map(([before, after], a) => {
    const size = t.shape[1 + a];
    const room = size + before + after - dilation[a] * (kernel[a] - 1) - 1;
    const fit = Math.floor(room / stride[a]);
    let last = ceil_mode ? Math.ceil(room / stride[a]) : fit;
    if (ceil_mode && last * stride[a] >= size + before) [last, dropped] = [last - 1, true];
    const end = last * stride[a] - room + after;
    return [before, last < fit ? end : Math.max(after, end)];
  });
  return [reach, dropped];
}

function maxPool(t, p) {
  if (t.rank === 3) throw new Unsupported("no pools of one axis");
  check(p.dilation.length === t.rank - 2 && p.dilation.every((d) => d >= 1), "such a dilation");
  const [reach, dropped] = windows(t, p);
  if (p.dilation.every((d) => d === 1) && t.rank === 4) {
    const [pads, rounding] = dropped ? [reach, "floor"] : [p.padding, p.ceil_mode ? "ceil" : "floor"];
    return tf.maxPool(t, p.kernel, p.stride, around(pads), rounding);
  }
  const whole = padded(t, p.padding, -Infinity, p.kernel)(reach);
  if (p.dilation.every((d) => d === 1)) return tf.maxPool3d(whole, p.kernel, p.stride, "valid");
  if (t.rank === 5) throw new Unsupported("no dilation in three dimensions");
  return tf.pool(whole, p.kernel, "max", "valid", p.dilation, p.stride);
}

function avgPool(t, p) {
  if (t.rank === 3) throw new Unsupported("no pools of one axis");
  const [reach, dropped] = windows(t, p);
  if (p.count_include_pad && any(p.padding)) {
    if (reach.flat().join() !== p.padding.flat().join())
      throw new Unsupported("no windows that reach beyond padding that counts");
    const whole = padded(t, p.padding, 0, p.kernel)();
    return (t.rank === 5 ? tf.avgPool3d : tf.avgPool)(whole, p.kernel, p.stride, "valid");
  }
  const [pads, rounding] = dropped ? [reach, "floor"] : [p.padding, p.ceil_mode ? "ceil" : "floor"];
  if (t.rank === 4) return tf.avgPool(t, p.kernel, p.stride, around(pads), rounding);
  check(pads.length === 3, "three axes are due");
  pairs(pads);
  const [first] = pads.flat();
  if (pads.flat().some((end) => end !== first)) throw new Unsupported("avgPool3d pads all ends alike");
  return tf.avgPool3d(t, p.kernel, p.stride, first, rounding);
}

const zeros = (shape) => tf.zeros(shape);
const gradient = (forward, at, grad) => tf.grad(forward)(at, grad);
const operators = {
  conv: ([x, w, bias], p) => conv(x, w, bias, p),
  conv_transpose: ([x, w, bias], p) => convTranspose(x, w, bias, p),
  max_pool: ([x], p) => maxPool(x, p),
  avg_pool: ([x], p) => avgPool(x, p),
  conv_input_grad: ([grad, w, shape], p) => gradient((t) => conv(t, w, null, p), zeros(shape), grad),
  conv_weight_grad: ([grad, x, shape], p) => gradient((t) => conv(x, t, null, p), zeros(shape), grad),
  conv_bias_grad: ([grad]) => {
    check(grad.rank >= 3 && grad.rank <= 5 && !grad.shape.slice(1).includes(0), `a gradient of shape [${grad.shape}]`);
    return gradient((t) => tf.add(tf.zeros(grad.shape), t), zeros(grad.shape.slice(-1)), grad);
  },
  max_pool_grad: ([grad, x], p) => gradient((t) => maxPool(t, p), x, grad),
  avg_pool_grad: ([grad, shape], p) => gradient((t) => avgPool(t, p), zeros(shape), grad),
};

function answer(operator, given, parameters) {
  try {
    return tf.tidy(() => {
      const tensor = (array) => tf.tensor(array.data, array.shape, array.dtype);
      const arrays = Object.values(given).map((array) => (array?.data ? tensor(array) : array));
      const y = operator(arrays, parameters);
      const shape = y.shape.map((n) => (Number.isFinite(n) ? n : 0)); // of an invalid call
      return { result: { dtype: y.dtype, shape }, data: y.dataSync() };
    });
  } catch (problem) {
    if (problem instanceof WebAssembly.RuntimeError) throw problem; // nothing works after that
    const declined = problem instanceof Unsupported || gaps.test(problem.message);
    const [reason] = problem.message.split(/\. Got|, got/); // which numbers it got, the case says
    return { [declined ? "unsupported" : "rejected"]: reason };
  }
}

await tf.setBackend(process.argv[2]);
await serve(
  Object.fromEntries(Object.entries(operators).map(([name, f]) => [name, (a, p) => answer(f, a, p)])),
  { dtypes: ["float32"], layout: "NHWC", family: "tensorflow.js" },
);
