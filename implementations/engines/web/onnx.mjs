// An ONNX model of one node as bytes: as much of protobuf and of ONNX's schema (onnx.proto) as that
// takes. Fields have the numbers of the schema.
const OPSET = 22;
const IR_VERSION = 10; // of the format, in which that set of operators was released
export const types = { float32: 1, uint8: 2, int8: 3, float16: 10, float64: 11 };

function number(value) {
  const bytes = [];
  for (let left = BigInt.asUintN(64, BigInt(value)); ; left >>= 7n) {
    if (left < 128n) return [...bytes, Number(left)];
    bytes.push(Number(left & 127n) | 128);
  }
}

const field = (key, value) => [...number(key << 3), ...number(value)];
const block = (key, bytes) => [...number((key << 3) | 2), ...number(bytes.length), ...bytes];
const text = (key, value) => block(key, [...Buffer.from(value)]);

function attribute(name, value) {
  const [INT, INTS] = [2, 7];
  if (!Array.isArray(value)) return [...text(1, name), ...field(3, value), ...field(20, INT)];
  if (!value.length) throw new Error(`${name}: no numbers`); // would be taken for the default
  return [...text(1, name), ...value.flatMap((one) => field(8, one)), ...field(20, INTS)];
}

// A tensor whose axes may have any size.
function described(name, { dtype, rank }) {
  const shape = block(2, Array(rank).fill(block(1, [])).flat());
  return [...text(1, name), ...block(2, block(1, [...field(1, types[dtype]), ...shape]))];
}

// `inputs` has the dtype and the rank of each; the result is y, with those of the first.
export function model(operator, attributes, inputs) {
  const node = [
    ...Object.keys(inputs).flatMap((name) => text(1, name)),
    ...text(2, "y"),
    ...text(4, operator),
    ...Object.entries(attributes).flatMap(([name, value]) => block(5, attribute(name, value))),
  ];
  const graph = [
    ...block(1, node),
    ...text(2, "one node"),
    ...Object.entries(inputs).flatMap(([name, input]) => block(11, described(name, input))),
    ...block(12, described("y", Object.values(inputs)[0])),
  ];
  const set = [...text(1, ""), ...field(2, OPSET)];
  return Uint8Array.from([...field(1, IR_VERSION), ...block(7, graph), ...block(8, set)]);
}
