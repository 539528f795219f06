/* A convolution and a max pool in C, of float32, as functions of the interface of libraries:

       cc -O2 -shared -fPIC my_kernels.c -o libmy_kernels.so
       convformance run --library libmy_kernels.so

   Arrays are read by their strides, so that every view of memory is taken. */

#include <math.h>
#include <stdio.h>

#include "convformance.h"

const char convformance_declares[] = "{\"dtypes\": [\"float32\"], \"work_seconds\": 4e-9}";

static int rejected(char *message, const char *reason)
{
    snprintf(message, CONVFORMANCE_MESSAGE, "%s", reason);
    return CONVFORMANCE_REJECTED;
}

static int is_float32(const DLTensor *t)
{
    return t->dtype.code == kDLFloat && t->dtype.bits == 32;
}

/* An array of up to three spatial axes as one of three: the first ones have size 1. */
typedef struct {
    const float *data;
    int64_t shape[5], strides[5];
} Image;

static Image image(const DLTensor *t)
{
    Image i = {(const float *)t->data, {1, 1, 1, 1, 1}, {0}};
    for (int axis = 0; axis < t->ndim; axis++) {
        const int to = axis < 2 ? axis : axis + 5 - t->ndim;
        i.shape[to] = t->shape[axis];
        i.strides[to] = t->strides[axis];
    }
    return i;
}

static float at(const Image *i, int64_t n, int64_t c, const int64_t p[3])
{
    return i->data[n * i->strides[0] + c * i->strides[1] + p[0] * i->strides[2]
                   + p[1] * i->strides[3] + p[2] * i->strides[4]];
}

/* The same of the parameters: stride, dilation and padding before of three axes. */
typedef struct {
    int64_t stride[3], dilation[3], before[3], kernel[3];
} Window;

/* Return the window of a call in w, or a reason why there is none. */
static const char *window(const DLTensor *x, const DLTensor *y, int64_t dims, const int64_t *kernel,
                          const int64_t *stride, const int64_t (*padding)[2],
                          const int64_t *dilation, Window *w)
{
    *w = (Window){{1, 1, 1}, {1, 1, 1}, {0}, {1, 1, 1}};
    if (x->ndim != dims + 2 || y->ndim != x->ndim || !is_float32(x))
        return "x is no array of float32 with as many axes as the parameters";
    for (int axis = 1; axis < x->ndim; axis++)
        if (x->shape[axis] < 1 || y->shape[axis] < 1)
            return "an axis is empty";
    for (int64_t axis = 0; axis < dims; axis++) {
        const int64_t to = axis + 3 - dims;
        if (stride[axis] < 1 || dilation[axis] < 1 || kernel[axis] < 1)
            return "stride, dilation and kernel are at least 1";
        if (padding[axis][0] < 0 || padding[axis][1] < 0)
            return "padding is at least 0";
        w->kernel[to] = kernel[axis];
        w->stride[to] = stride[axis];
        w->dilation[to] = dilation[axis];
        w->before[to] = padding[axis][0];
    }
    return NULL;
}

/* Set p to the position of x that a tap reads, and return whether it is one. */
static int inside(const Image *x, const Window *w, const int64_t out[3], const int64_t tap[3],
                  int64_t p[3])
{
    for (int a = 0; a < 3; a++) {
        p[a] = out[a] * w->stride[a] + tap[a] * w->dilation[a] - w->before[a];
        if (p[a] < 0 || p[a] >= x->shape[a + 2])
            return 0;
    }
    return 1;
}

#define FOR_EACH(index, sizes)                                                                     \
    for (index[0] = 0; index[0] < (sizes)[0]; index[0]++)                                          \
        for (index[1] = 0; index[1] < (sizes)[1]; index[1]++)                                      \
            for (index[2] = 0; index[2] < (sizes)[2]; index[2]++)

int convformance_conv(const DLTensor *x, const DLTensor *w, const DLTensor *bias,
                      const convformance_conv_parameters *p, DLTensor *result, char *message)
{
    Window win;
    if (w->ndim != x->ndim || !is_float32(w) || w->shape[0] < 1 || w->shape[1] < 1 || p->groups < 1
        || x->shape[1] != w->shape[1] * p->groups || w->shape[0] % p->groups != 0)
        return rejected(message, "x, w and groups do not fit together");
    if (bias && (bias->ndim != 1 || !is_float32(bias) || bias->shape[0] != w->shape[0]))
        return rejected(message, "bias has no element for each output channel");
    const char *reason = window(x, result, p->dims, w->shape + 2, p->stride, p->padding,
                                p->dilation, &win);
    if (reason)
        return rejected(message, reason);

    const Image in = image(x), filter = image(w), out = image(result);
    const int64_t outputs = w->shape[0] / p->groups;
    float *y = (float *)result->data;
    for (int64_t n = 0; n < in.shape[0]; n++)
        for (int64_t o = 0; o < w->shape[0]; o++) {
            const int64_t first = o / outputs * w->shape[1];
            int64_t position[3], tap[3], read[3];
            FOR_EACH(position, out.shape + 2) {
                float total = bias ? ((const float *)bias->data)[o * bias->strides[0]] : 0;
                for (int64_t c = 0; c < w->shape[1]; c++)
                    FOR_EACH(tap, win.kernel)
                        if (inside(&in, &win, position, tap, read))
                            total += at(&in, n, first + c, read) * at(&filter, o, c, tap);
                *y++ = total;
            }
        }
    return 0;
}

int convformance_max_pool(const DLTensor *x, const convformance_max_pool_parameters *p,
                          DLTensor *result, char *message)
{
    Window win;
    const char *reason = window(x, result, p->dims, p->kernel, p->stride, p->padding, p->dilation,
                                &win);
    for (int64_t axis = 0; !reason && axis < p->dims; axis++)
        if (2 * p->padding[axis][0] > p->kernel[axis] || 2 * p->padding[axis][1] > p->kernel[axis])
            reason = "padding is at most half of the kernel";
    if (reason)
        return rejected(message, reason);

    const Image in = image(x), out = image(result);
    float *y = (float *)result->data;
    for (int64_t n = 0; n < in.shape[0]; n++)
        for (int64_t c = 0; c < in.shape[1]; c++) {
            int64_t position[3], tap[3], read[3];
            FOR_EACH(position, out.shape + 2) {
                float best = -INFINITY;
                FOR_EACH(tap, win.kernel)
                    if (inside(&in, &win, position, tap, read)) {
                        const float value = at(&in, n, c, read);
                        if (!isnan(best) && !(value <= best))  /* a NaN stays, once it is met */
                            best = value;
                    }
                *y++ = best;
            }
        }
    return 0;
}
