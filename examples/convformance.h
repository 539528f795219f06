/* convformance.h: the interface of C libraries that convformance judges.

   A library exports the functions below that it has: convformance run --library libmine.so

   Arrays are channels-first: x (N, C, *S), w (O, C/groups, *K), for conv_transpose
   (C, O/groups, *K), bias (O,) or NULL. Any array may have strides of its own, negative ones too.
   `result` has the shape and the dtype that are due, and lies row after row; where no result could
   be right, it has no elements. A gradient's shape is that of `result`. A function returns

   0                          the result is written;
   CONVFORMANCE_UNSUPPORTED   it does not claim to compute this: a gap, and no failure;
   any other                  the call is rejected, as every invalid one has to be;

   and may write a reason, which ends with a zero, into the CONVFORMANCE_MESSAGE bytes of `message`.
   It writes nothing else. What a library declares of itself, it may export as JSON text:

   const char convformance_declares[] = "{\"dtypes\": [\"float32\"], \"dims\": [2]}"; */

#ifndef CONVFORMANCE_H
#define CONVFORMANCE_H
#include <stdint.h>

#define CONVFORMANCE_VERSION 1
#define CONVFORMANCE_REJECTED 1
#define CONVFORMANCE_UNSUPPORTED 2
#define CONVFORMANCE_MESSAGE 256 /* bytes */

#ifdef __cplusplus
extern "C" {
#endif

#ifndef DLPACK_DLPACK_H_ /* where dlpack.h is included before, its own definitions hold */
#define DLPACK_DLPACK_H_
typedef struct { int32_t device_type, device_id; } DLDevice;
typedef struct { uint8_t code, bits; uint16_t lanes; } DLDataType;
typedef struct {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape;
    int64_t *strides; /* in elements; never NULL here */
    uint64_t byte_offset; /* always 0 here */
} DLTensor;
enum { kDLCPU = 1, kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4, kDLBool = 6 };
#endif

extern const char convformance_declares[];

typedef struct {
    int64_t dims; /* axes of each array below: 1 to 3 */
    int64_t stride[3];
    int64_t padding[3][2];
    int64_t dilation[3];
    int64_t groups;
} convformance_conv_parameters;

int convformance_conv(const DLTensor *x, const DLTensor *w, const DLTensor *bias, const convformance_conv_parameters *parameters, DLTensor *result, char *message);

typedef struct {
    int64_t dims; /* axes of each array below: 1 to 3 */
    int64_t stride[3];
    int64_t padding[3][2];
    int64_t output_padding[3];
    int64_t dilation[3];
    int64_t groups;
} convformance_conv_transpose_parameters;

int convformance_conv_transpose(const DLTensor *x, const DLTensor *w, const DLTensor *bias, const convformance_conv_transpose_parameters *parameters, DLTensor *result, char *message);

typedef struct {
    int64_t dims; /* axes of each array below: 1 to 3 */
    int64_t kernel[3];
    int64_t stride[3];
    int64_t padding[3][2];
    int64_t dilation[3];
    int64_t ceil_mode;
} convformance_max_pool_parameters;

int convformance_max_pool(const DLTensor *x, const convformance_max_pool_parameters *parameters, DLTensor *result, char *message);

typedef struct {
    int64_t dims; /* axes of each array below: 1 to 3 */
    int64_t kernel[3];
    int64_t stride[3];
    int64_t padding[3][2];
    int64_t ceil_mode;
    int64_t count_include_pad;
} convformance_avg_pool_parameters;

int convformance_avg_pool(const DLTensor *x, const convformance_avg_pool_parameters *parameters, DLTensor *result, char *message);

typedef struct {
    int64_t dims; /* axes of each array below: 1 to 3 */
    int64_t stride[3];
    int64_t padding[3][2];
    int64_t dilation[3];
    int64_t groups;
} convformance_conv_input_grad_parameters;

int convformance_conv_input_grad(const DLTensor *grad, const DLTensor *w, const convformance_conv_input_grad_parameters *parameters, DLTensor *result, char *message);

typedef struct {
    int64_t dims; /* axes of each array below: 1 to 3 */
    int64_t stride[3];
    int64_t padding[3][2];
    int64_t dilation[3];
    int64_t groups;
} convformance_conv_weight_grad_parameters;

int convformance_conv_weight_grad(const DLTensor *grad, const DLTensor *x, const convformance_conv_weight_grad_parameters *parameters, DLTensor *result, char *message);

int convformance_conv_bias_grad(const DLTensor *grad, DLTensor *result, char *message);

typedef struct {
    int64_t dims; /* axes of each array below: 1 to 3 */
    int64_t kernel[3];
    int64_t stride[3];
    int64_t padding[3][2];
    int64_t dilation[3];
    int64_t ceil_mode;
} convformance_max_pool_grad_parameters;

int convformance_max_pool_grad(const DLTensor *grad, const DLTensor *x, const convformance_max_pool_grad_parameters *parameters, DLTensor *result, char *message);

typedef struct {
    int64_t dims; /* axes of each array below: 1 to 3 */
    int64_t kernel[3];
    int64_t stride[3];
    int64_t padding[3][2];
    int64_t ceil_mode;
    int64_t count_include_pad;
} convformance_avg_pool_grad_parameters;

int convformance_avg_pool_grad(const DLTensor *grad, const convformance_avg_pool_grad_parameters *parameters, DLTensor *result, char *message);

#ifdef __cplusplus
}
#endif
#endif
