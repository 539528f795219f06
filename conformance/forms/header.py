"""The C header of libraries: every operator as a function, written from the signatures."""

from __future__ import annotations

from conformance.signatures import SIGNATURES

VERSION = 1
REJECTED, UNSUPPORTED = 1, 2
MESSAGE = 256
"""Bytes of the room for a message."""
PREFIX = "convformance_"
MOST_DIMS = 3

_TYPES = {
    "padding": f"int64_t padding[{MOST_DIMS}][2]",
    "groups": "int64_t groups",
    "ceil_mode": "int64_t ceil_mode",
    "count_include_pad": "int64_t count_include_pad",
}
"""Parameters that are no numbers, one an axis."""

DLPACK = """\
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
"""


def parameters_of(operator: str) -> str:
    """Return the struct of an operator's parameters, "" if it has none."""
    if not SIGNATURES[operator].parameters:
        return ""
    members = ["int64_t dims; /* axes of each array below: 1 to 3 */"] + [
        f"{_TYPES.get(name, f'int64_t {name}[{MOST_DIMS}]')};"
        for name in SIGNATURES[operator].parameters
    ]
    inside = "\n".join(f"    {member}" for member in members)
    return f"typedef struct {{\n{inside}\n}} {PREFIX}{operator}_parameters;\n"


def prototype_of(operator: str) -> str:
    """Return the prototype of an operator's function."""
    signature = SIGNATURES[operator]
    arguments = [f"const DLTensor *{name}" for name in signature.arrays]
    if signature.parameters:
        arguments.append(f"const {PREFIX}{operator}_parameters *parameters")
    arguments += ["DLTensor *result", "char *message"]
    return f"int {PREFIX}{operator}({', '.join(arguments)});\n"


def header() -> str:
    """Return the header."""
    constants = (
        f"#define CONVFORMANCE_VERSION {VERSION}\n"
        f"#define CONVFORMANCE_REJECTED {REJECTED}\n"
        f"#define CONVFORMANCE_UNSUPPORTED {UNSUPPORTED}\n"
        f"#define CONVFORMANCE_MESSAGE {MESSAGE} /* bytes */\n"
    )
    operators = "\n".join(
        "\n".join(filter(None, (parameters_of(operator), prototype_of(operator))))
        for operator in SIGNATURES
    )
    return f"""\
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

   const char convformance_declares[] = "{{\\"dtypes\\": [\\"float32\\"], \\"dims\\": [2]}}"; */

#ifndef CONVFORMANCE_H
#define CONVFORMANCE_H
#include <stdint.h>

{constants}
#ifdef __cplusplus
extern "C" {{
#endif

{DLPACK}
extern const char convformance_declares[];

{operators}
#ifdef __cplusplus
}}
#endif
#endif
"""
