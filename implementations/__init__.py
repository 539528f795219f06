"""The built-in implementations: one file each, one idea each, to be judged and to be read.

Nothing is imported from here by name. The distribution lists every file under the entry-point
group ``convformance.implementations``, exactly as somebody else's package would, and the suite
loads whatever that group names; an implementation's backend is imported when it first runs.

The five NumPy files are a course, best read in this order:

========================  =======================================================================
``naive.py``              the definition: a loop over outputs, one window each
``im2col.py``             every window copied into a row of a matrix, then one matrix product
``kernel_matrix.py``      the kernel unrolled into a matrix, whose transpose is conv_transpose
``stride_trick.py``       every window seen through strides, nothing copied
``shifted_matmul.py``     a loop over kernel positions, one matrix product each, channels last
========================  =======================================================================

Each goes on with the gradients, as far as its idea carries. The other files hand a case to an
engine's own operators, and to its differentiation where it has one; variants of one engine share a
file. What adapters share is in ``_engine.py``, argument checks are in ``_common.py``, those of
gradients in ``_gradients.py``.
"""
