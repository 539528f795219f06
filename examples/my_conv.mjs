// A convolution in JavaScript, as a program: convformance run --program "node examples/my_conv.mjs"
import { product, serve } from "./serve.mjs";

function conv({ x, w, bias }, { stride, padding, dilation, groups }) {
  const [batch, channels, ...size] = x.shape;
  const [outputs, perGroup, ...kernel] = w.shape;
  const dims = size.length;
  const valid =
    dims >= 1 && dims <= 3 && [kernel, stride, padding, dilation].every((p) => p.length === dims) &&
    [...size, ...kernel, ...stride, ...dilation, channels, outputs, groups].every((n) => n >= 1) &&
    padding.every((pair) => pair.length === 2 && pair[0] >= 0 && pair[1] >= 0) &&
    channels === perGroup * groups && outputs % groups === 0 && w.dtype === x.dtype &&
    (bias === null || (bias.dtype === x.dtype && bias.shape.join() === `${outputs}`));
  if (!valid) return { rejected: "the arguments do not fit together" };
  const out = size.map((n, a) => {
    const room = n + padding[a][0] + padding[a][1] - dilation[a] * (kernel[a] - 1) - 1;
    return Math.floor(room / stride[a]) + 1;
  });
  if (out.some((n) => n < 1)) return { rejected: "the kernel is larger than the padded input" };

  // Every call has three axes: those in front, of size 1, change nothing.
  const three = (values, one) => [...Array(3 - dims).fill(one), ...values];
  const [X, K, Y] = [three(size, 1), three(kernel, 1), three(out, 1)];
  const [S, D, P] = [three(stride, 1), three(dilation, 1), three(padding, [0, 0])];
  const y = new x.data.constructor(batch * outputs * product(out));
  let at = 0;
  for (let n = 0; n < batch; n++)
    for (let o = 0; o < outputs; o++) {
      const first = Math.floor(o / (outputs / groups)) * perGroup;
      for (let i = 0; i < Y[0]; i++)
        for (let j = 0; j < Y[1]; j++)
          for (let k = 0; k < Y[2]; k++) {
            let sum = bias === null ? 0 : bias.data[o];
            let tap = o * perGroup * product(kernel);
            for (let c = 0; c < perGroup; c++)
              for (let a = 0; a < K[0]; a++)
                for (let b = 0; b < K[1]; b++)
                  for (let e = 0; e < K[2]; e++, tap++) {
                    const p = i * S[0] + a * D[0] - P[0][0];
                    const q = j * S[1] + b * D[1] - P[1][0];
                    const r = k * S[2] + e * D[2] - P[2][0];
                    if (p < 0 || p >= X[0] || q < 0 || q >= X[1] || r < 0 || r >= X[2]) continue;
                    const row = ((n * channels + first + c) * X[0] + p) * X[1] + q;
                    sum += x.data[row * X[2] + r] * w.data[tap];
                  }
            y[at++] = sum;
          }
    }
  return { result: { dtype: x.dtype, shape: [batch, outputs, ...out] }, data: y };
}

serve({ conv }, { work_seconds: 2e-8 });
