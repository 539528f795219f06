"""Large cases at the real sizes of fast paths, beyond the thresholds by which libraries choose.

Rules of dispatch ask for hundreds of channels, or for thousands of positions: Winograd's algorithm
from 16 channels and 10 rows on (Tengine), threads from 192^3 products on and tiles of 512 positions
(burn, candle), planes of more than 8,192 outputs. Cases of millions of products are judged by
projection (`conformance.large`). Each size leaves a tail.
"""

from __future__ import annotations

from functools import cache

from conformance.case import Case

_LARGE = (
    # Winograd: 16 channels and more, 11 rows and more, a row or two beyond tiles of 2, 4 and 6.
    "conv2d:float32:x=1,64,25,27:w=16,64,3,3:padding=1/1,1/1:integers@0",
    "conv2d:float32:x=1,16,57,53:w=16,16,3,3:padding=1/1,1/1:integers@0",
    # Hundreds of channels, and two more, on few positions.
    "conv2d:float32:x=1,258,5,5:w=130,258,3,3:padding=1/1,1/1:integers@0",
    "conv2d:float32:x=1,130,9,9:w=514,130,1,1:integers@0",
    # One product of 193 times 193 times 195, and 1 position beyond two tiles of 512.
    "conv2d:float32:x=1,193,13,15:w=193,193,1,1:integers@0",
    "conv2d:float32:x=1,66,25,41:w=66,66,1,1:integers@0",
    # First layers: 3 channels, planes of more than 8,192 outputs, rows of more than 28.
    "conv2d:float32:x=1,3,97,99:w=18,3,3,3:padding=1/1,1/1:integers@0",
    "conv2d:float32:x=1,3,71,69:w=34,3,7,7:stride=2,2:padding=3/3,3/3:integers@0",
    # Stride 2, depthwise, and groups of 16 channels.
    "conv2d:float32:x=1,66,29,29:w=36,66,3,3:stride=2,2:padding=0/1,1/1:integers@0",
    "conv2d:float32:x=2,133,45,47:w=133,1,3,3:padding=1/1,1/1:groups=133:integers@0",
    "conv2d:float32:x=17,32,9,9:w=36,16,3,3:padding=1/1,1/1:groups=2:integers@0",
    "conv1d:float32:x=3,66,515:w=34,66,3:padding=1/1:integers@0",
    "conv1d:float32:x=1,130,2049:w=18,130,1:integers@0",
    "conv3d:float32:x=1,18,9,15,17:w=10,18,3,3,3:padding=1/1,1/1,1/1:integers@0",
    "conv3d:float32:x=1,66,9,9,13:w=66,66,1,1,1:integers@0",
    "conv_transpose2d:float32:x=1,66,13,17:w=66,18,4,4:stride=2,2:padding=1/1,1/1:integers@0",
    "conv_transpose2d:float32:x=1,130,17,15:w=130,34,2,2:stride=2,2:integers@0",
    "conv_transpose1d:float32:x=1,66,515:w=66,42,3:stride=2:padding=1/1:integers@0",
    "max_pool2d:float32:x=1,67,83,85:kernel=3,3:padding=1/1,1/1:integers@0",
    "avg_pool2d:float32:x=1,133,57,59:kernel=3,3:padding=1/1,1/1:integers@0",
)


@cache
def large_paths(operator: str, dims: int) -> tuple[Case, ...]:
    """Return the large cases of an operator: 4 to 11 million products, or reads of windows."""
    found = map(Case.parse, _LARGE)
    return tuple(case for case in found if (case.operator, case.dims) == (operator, dims))
