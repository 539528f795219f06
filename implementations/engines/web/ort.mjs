// ONNX Runtime Web as a program, on WebAssembly: a session for the parameters, the dtypes and the
// ranks of a call serves every shape. Nothing is padded, cropped or checked here.
import * as ort from "onnxruntime-web/wasm";
import { model, types } from "./onnx.mjs";
import { serve } from "./serve.mjs";

const MOST_SESSIONS = 256;
const quiet = { logSeverityLevel: 4 }; // what goes wrong is an exception
const names = { conv: "Conv", conv_transpose: "ConvTranspose", max_pool: "MaxPool", avg_pool: "AveragePool" };
const renamed = { kernel: "kernel_shape", stride: "strides", dilation: "dilations", groups: "group" };
const gaps = /Could not find an implementation for|may be too large for stride/;
const sessions = new Map();

function attributes(parameters) {
  const values = Object.entries(parameters).map(([name, value]) => {
    if (name === "padding") {
      if (value.some((pair) => pair.length !== 2)) throw new Error("padding is a pair an axis");
      return ["pads", [0, 1].flatMap((end) => value.map((pair) => pair[end]))];
    }
    return [renamed[name] ?? name, Array.isArray(value) ? value : Number(value)];
  });
  return Object.fromEntries(values);
}

async function session(operator, parameters, inputs) {
  const key = JSON.stringify([operator, parameters, inputs]);
  if (!sessions.has(key)) {
    const made = model(names[operator], attributes(parameters), inputs);
    sessions.set(key, await ort.InferenceSession.create(made, { executionProviders: ["wasm"], ...quiet }));
    const [oldest] = sessions.keys();
    if (sessions.size > MOST_SESSIONS) {
      await sessions.get(oldest).release();
      sessions.delete(oldest);
    }
  }
  return sessions.get(key);
}

const answer = (operator) => async (given, parameters) => {
  const arrays = Object.entries(given).filter(([, array]) => array !== null);
  const inputs = arrays.map(([name, { dtype, shape }]) => [name, { dtype, rank: shape.length }]);
  const feeds = arrays.map(([name, { dtype, data, shape }]) => [name, [dtype, data, shape]]);
  try {
    const made = await session(operator, parameters, Object.fromEntries(inputs));
    const tensors = feeds.map(([name, tensor]) => [name, new ort.Tensor(...tensor)]);
    const { y } = await made.run(Object.fromEntries(tensors), quiet);
    return { result: { dtype: y.type, shape: y.dims }, data: y.data };
  } catch (problem) {
    if (problem instanceof WebAssembly.RuntimeError) throw problem; // nothing works after that
    return { [gaps.test(problem.message) ? "unsupported" : "rejected"]: `${problem.message}` };
  }
};

ort.env.logLevel = "fatal";
ort.env.wasm.numThreads = 1;
await serve(
  Object.fromEntries(Object.keys(names).map((operator) => [operator, answer(operator)])),
  { dtypes: Object.keys(types), family: "onnxruntime" },
);
