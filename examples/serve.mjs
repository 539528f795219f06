// The protocol of programs (docs/programs.md) in JavaScript: `serve` answers the calls of the suite.
import fs from "node:fs";

export const product = (numbers) => numbers.reduce((a, b) => a * b, 1);

// A number of a half type, which JavaScript does not have, is the 16 bits of its format.
const arrays = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, bfloat16: Uint16Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array, uint8: Uint8Array,
};
let ahead = Buffer.alloc(0); // what was read of stdin, and not taken yet

function take(size) {
  const taken = new Uint8Array(size);
  let filled = ahead.copy(taken);
  ahead = ahead.subarray(filled);
  while (filled < size) {
    const got = fs.readSync(0, taken, filled, size - filled);
    if (got === 0) process.exit(0); // the suite has no more calls
    filled += got;
  }
  return taken;
}

function line() {
  while (!ahead.includes("\n")) {
    const chunk = Buffer.alloc(1 << 16);
    const got = fs.readSync(0, chunk);
    if (got === 0) process.exit(0);
    ahead = Buffer.concat([ahead, chunk.subarray(0, got)]);
  }
  return JSON.parse(Buffer.from(take(ahead.indexOf("\n") + 1)));
}

function send(header, data = new Uint8Array()) {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  let left = Buffer.concat([Buffer.from(JSON.stringify(header) + "\n"), bytes]);
  while (left.length) left = left.subarray(fs.writeSync(1, left));
}

// `operators` has a function for each operator, which returns { result, data } or { rejected }, at
// once or later; `declared` is what else the program says of itself.
export async function serve(operators, declared = {}) {
  line(); // the greeting
  const { dtypes = ["float32", "float64"] } = declared;
  send({ convformance: 1, operators: Object.keys(operators), dtypes, ...declared });
  for (;;) {
    const { operator, arguments: given, parameters, bytes } = line();
    const payload = take(bytes).buffer;
    let [begin, wrong] = [0, ""];
    for (const array of Object.values(given)) {
      if (array === null || Array.isArray(array)) continue; // no bias, or the shape of an array
      const Kind = arrays[array.dtype];
      if (!dtypes.includes(array.dtype)) wrong = `no arrays of ${array.dtype}`;
      if (wrong) continue;
      const end = begin + product(array.shape) * Kind.BYTES_PER_ELEMENT;
      array.data = new Kind(payload.slice(begin, end));
      begin = end;
    }
    const answer = wrong ? { rejected: wrong } : await operators[operator](given, parameters);
    const { data, ...header } = answer;
    send(header, data);
  }
}
