// An average pool in C++, of float and double, as a function of the interface of libraries:
//
//     c++ -O2 -shared -fPIC my_pool.cpp -o libmy_pool.so
//     convformance run --library libmy_pool.so
//
// It wants arrays that lie row after row, and says so.

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "convformance.h"

const char convformance_declares[] = R"({"dims": [1, 2], "memory": "contiguous"})";

namespace {

using Parameters = convformance_avg_pool_parameters;

struct Axis {
    int64_t size, out, kernel, stride, before, after;
};

void check(bool holds, const char *reason)
{
    if (!holds) throw std::invalid_argument(reason);
}

Axis axis_of(const DLTensor &x, const DLTensor &y, const Parameters &p, int64_t axis)
{
    if (axis < 0) return {1, 1, 1, 1, 0, 0};
    const Axis a{x.shape[2 + axis], y.shape[2 + axis], p.kernel[axis],
                 p.stride[axis],    p.padding[axis][0], p.padding[axis][1]};
    check(a.size >= 1 && a.out >= 1, "an axis is empty");
    check(a.kernel >= 1 && a.stride >= 1, "kernel and stride are at least 1");
    check(a.before >= 0 && a.after >= 0, "padding is at least 0");
    check(2 * std::max(a.before, a.after) <= a.kernel, "padding is at most half of the kernel");
    return a;
}

template <typename T>
void pool(const DLTensor &x, const Parameters &p, DLTensor &y, const std::array<Axis, 2> &axes)
{
    const auto [rows, columns] = axes;
    const T *in = static_cast<const T *>(x.data);
    T *out = static_cast<T *>(y.data);
    for (int64_t plane = 0; plane < x.shape[0] * x.shape[1]; plane++, in += rows.size * columns.size)
        for (int64_t i = 0; i < rows.out; i++)
            for (int64_t j = 0; j < columns.out; j++) {
                const int64_t top = i * rows.stride - rows.before;
                const int64_t left = j * columns.stride - columns.before;
                // What ceil_mode adds beyond the padding never counts.
                const int64_t bottom = std::min(top + rows.kernel, rows.size + rows.after);
                const int64_t right = std::min(left + columns.kernel, columns.size + columns.after);
                T total = 0;
                int64_t inside = 0;
                for (int64_t r = std::max<int64_t>(top, 0); r < std::min(bottom, rows.size); r++)
                    for (int64_t c = std::max<int64_t>(left, 0); c < std::min(right, columns.size); c++) {
                        total += in[r * columns.size + c];
                        inside++;
                    }
                const int64_t whole = (bottom - top) * (right - left);
                *out++ = total / static_cast<T>(p.count_include_pad ? whole : inside);
            }
}

}  // namespace

int convformance_avg_pool(const DLTensor *x, const Parameters *p, DLTensor *result, char *message)
try {
    const int64_t dims = p->dims;
    if (dims > 2) throw std::domain_error("one or two axes");
    check(x->ndim == dims + 2 && result->ndim == x->ndim, "x has another number of axes");
    check(x->dtype.code == kDLFloat && x->shape[1] >= 1, "x is no array of floating-point numbers");
    const std::array<Axis, 2> axes{axis_of(*x, *result, *p, dims - 2),
                                   axis_of(*x, *result, *p, dims - 1)};
    if (x->dtype.bits == 32)
        pool<float>(*x, *p, *result, axes);
    else if (x->dtype.bits == 64)
        pool<double>(*x, *p, *result, axes);
    else
        throw std::invalid_argument("no such dtype");
    return 0;
} catch (const std::exception &problem) {
    message[std::string(problem.what()).copy(message, CONVFORMANCE_MESSAGE - 1)] = 0;
    const bool gap = dynamic_cast<const std::domain_error *>(&problem) != nullptr;
    return gap ? CONVFORMANCE_UNSUPPORTED : CONVFORMANCE_REJECTED;
}
