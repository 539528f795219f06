"""A convolution layer that learns to detect edges, from one image and the edges in it.

The image is black and white, and the layer is told where its columns change, +1 from white to black
and -1 from black to white. The kernel [1, -1] computes just that: y[p] = x[p] - x[p + 1]. The layer
starts from zeros and finds it by gradient descent, each step against the gradient of the loss

    L = sum (y - target)**2,        dL/dy = 2 * (y - target)

which conv_weight_grad turns into dL/dw, conv_bias_grad into dL/db, and conv_input_grad into dL/dx
for a layer before this one. Run it with `python examples/learn_edge_kernel.py`.
"""

import numpy as np

from conformance.implementations.im2col import (
    conv,
    conv_bias_grad,
    conv_input_grad,
    conv_weight_grad,
)

PARAMETERS = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}


class ConvLayer:
    """y = conv(x, w) + bias, with the gradients of its parameters."""

    def __init__(self, filters, channels, kernel):
        self.w = np.zeros((filters, channels, *kernel))  # (O, C, *K)
        self.bias = np.zeros(filters)  # (O,)

    def forward(self, x):
        self.x = x  # (N, C, *S), which the gradient of w needs
        return conv(x, self.w, self.bias, **PARAMETERS)  # (N, O, *out)

    def backward(self, grad):
        """Keep dL/dw and dL/dbias, and return dL/dx; ``grad`` is dL/dy (N, O, *out)."""
        self.dw = conv_weight_grad(grad, self.x, self.w.shape, **PARAMETERS)  # (O, C, *K)
        self.dbias = conv_bias_grad(grad)  # (O,)
        return conv_input_grad(grad, self.w, self.x.shape, **PARAMETERS)  # (N, C, *S)

    def descend(self, rate):
        self.w -= rate * self.dw
        self.bias -= rate * self.dbias


def black_stripe():
    """Return a white image of 6 rows and 8 columns with four black columns: (1, 1, 6, 8)."""
    image = np.ones((1, 1, 6, 8))
    image[..., 2:6] = 0
    return image


def learn(steps=120, rate=0.01):
    """Return the layer after ``steps`` of gradient descent, and the loss before each of them."""
    x = black_stripe()
    target = x[..., :-1] - x[..., 1:]  # (1, 1, 6, 7): where the columns change
    layer, losses = ConvLayer(filters=1, channels=1, kernel=(1, 2)), []
    for _ in range(steps):
        off = layer.forward(x) - target
        losses.append(float((off**2).sum()))
        layer.backward(2 * off)
        layer.descend(rate)
    return layer, losses


if __name__ == "__main__":
    layer, losses = learn()
    for step in range(0, len(losses), 20):
        print(f"step {step:3}: loss {losses[step]:.2e}")
    print("kernel:", layer.w.ravel().round(3), "bias:", layer.bias.round(3))
