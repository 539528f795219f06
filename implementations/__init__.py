"""The built-in implementations, to be judged and to be read: each file of the course is one idea.

Nothing is imported from here by name. The distribution lists every file under the entry-point
group ``conformance.implementations``, as any other package would, and the suite loads whatever that
group names. An implementation's engine is imported when it first runs.

Five NumPy files are a course, best read in this order:

========================  =======================================================================
``naive.py``              the definition: a loop over outputs, one window each
``im2col.py``             every window copied into a row of a matrix, then one matrix product
``kernel_matrix.py``      the kernel unrolled into a matrix, whose transpose is conv_transpose
``stride_trick.py``       every window seen through strides, nothing copied
``shifted_matmul.py``     a loop over kernel positions, one matrix product each, channels last
========================  =======================================================================

A chapter goes from the idea, with numbers, to ``conv2d_plain``, which has two axes and no
parameters, then to the operators with all their parameters, the gradients and the cost. It ends
with an exercise: of a function called ``..._with_a_mistake`` one line is wrong. Put it in the place
of the right one, run ``convformance run -i im2col --tier smoke``, and read what the suite says.
Checks, padding, dtypes and the bias, which belong to no idea, are the frame's (``_frame.py``).

The symbols of all chapters, in comments and docstrings; * stands for one number a spatial axis:

======  ===========================================================================================
N       images of the batch
C, O    channels of the input and of the output
G       groups; a weight has C/G channels, or O/G in conv_transpose
S, *S   the input's positions: their number, and how many there are an axis
P, *P   the output's positions, one window each; *P is ``out`` in the code
K, *K   the kernel's positions
n, c, o, p, k   one of N, C, O, P and K; p and k stand for one index an axis
H, W    the axes of a 2-D image, in ``conv2d_plain``; I, J those of its kernel
======  ===========================================================================================

The five side by side, for one conv. Elements moved are read or written, times the bytes of one;
caches are left out. The last column is GFLOP/s, two for each of the definition's N*O*P*C/G*K
multiply-adds, in float32 on one core of a server with 16 -> 16 channels, 8 images of 16x16 and a
kernel of 3x3. The machine matters less than the ratios.

==============  ================  ===================  ==============================  =======
chapter         multiply-adds     elements moved       extra memory, in elements       GFLOP/s
==============  ================  ===================  ==============================  =======
naive           N*O*P * C/G*K     2 * N*O*P * C/G*K    the padded input                0.05
im2col          N*O*P * C/G*K     2 * N*C*P*K          N*C*P*K, and P*C/G*K integers   12
kernel matrix   N*O*P * C/G*S     2 * O*P * C/G*S      O*P * C/G*S                     0.4
stride trick    N*O*P * C/G*K     2 * N*C*P*K          N*C*P*K; none in a pool         43
shifted matmul  N*O*P * C/G*K     K * N*P * (C + 4*O)  N*P*O                           42
==============  ================  ===================  ==============================  =======

Beside them stand faster ones, each again one idea, with what is gained by it and what it costs:

====================  ===========================================================================
``im2col_tiled.py``   a block of windows at a time, gathered into memory that the caches hold
``winograd.py``       kernels of 3: tiles of outputs from fewer products, error bounded by tile
``fft.py``            large kernels: a product of spectra, error bounded by plane
``depthwise.py``      a group for each channel: planes that are shifted, scaled and added
``separable.py``      pools: one axis after the other, in runs that double
====================  ===========================================================================

What they gain, in float32 on one core: milliseconds of CPU time, the least of some calls.

========================================================  ========  =======  =====================
call                                                        im2col    tiled  fast
========================================================  ========  =======  =====================
conv 64 -> 64 channels, 224x224, kernel 3x3                    519       61  28 winograd
conv 128 -> 256 channels, 56x56, kernel 3x3                     34       24  13 winograd
conv of one channel, 256x256, kernel 31x31                       -       26  3.9 fft
conv of 32 channels, 112x112, kernel 3x3, depthwise            3.7      1.6  1.6 depthwise
max_pool of 64 channels, 112x112, window 3x3, stride 2          10        -  1.2 separable
========================================================  ========  =======  =====================

``_frame.py`` makes operators of the chapters' ideas, ``_operators.py`` has the work around an idea,
and ``_call.py`` the `Call` that an idea takes. The course and the adapters in ``engines/`` share
the checks in ``_arguments.py``, and padding, divisors and dtypes in ``_windows.py``.
"""
