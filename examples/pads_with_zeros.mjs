// A max pool in JavaScript with one mistake: convformance run --program "node examples/pads_with_zeros.mjs"
import { serve } from "./serve.mjs";

function max_pool({ x }, { kernel, stride, padding, dilation, ceil_mode }) {
  const [batch, channels, size, ...further] = x.shape;
  if (further.length || ceil_mode) return { unsupported: "one axis, and no ceil_mode" };
  const valid =
    x.shape.length === 3 && channels >= 1 && size >= 1 && kernel[0] >= 1 && stride[0] >= 1 &&
    dilation[0] >= 1 && [kernel, stride, padding, dilation].every((p) => p.length === 1) &&
    padding[0].length === 2 && padding[0].every((n) => n >= 0 && 2 * n <= kernel[0]);
  if (!valid) return { rejected: "the arguments do not fit together" };
  const room = size + padding[0][0] + padding[0][1] - dilation[0] * (kernel[0] - 1) - 1;
  if (room < 0) return { rejected: "the kernel is larger than the padded input" };

  const out = Math.floor(room / stride[0]) + 1;
  const y = new x.data.constructor(batch * channels * out);
  for (let plane = 0; plane < batch * channels; plane++)
    for (let i = 0; i < out; i++) {
      let best = -Infinity;
      for (let k = 0; k < kernel[0]; k++) {
        const p = i * stride[0] + k * dilation[0] - padding[0][0];
        const inside = p >= 0 && p < size;
        best = Math.max(best, inside ? x.data[plane * size + p] : 0); // the mistake
      }
      y[plane * out + i] = best;
    }
  return { result: { dtype: x.dtype, shape: [batch, channels, out] }, data: y };
}

serve({ max_pool }, { dims: [1] });
