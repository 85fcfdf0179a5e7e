"""Fewer multiplications for the same answer: each step up and the convolution after it made one.

A decoder block doubles its picture by a transposed convolution (2 × 2, stride 2) and hands it, joined with the gated
skip, to a convolution (3 × 3). Nothing between the two is non-linear, so for the channels that come from below they
are one transposed convolution of 4 × 4; the skip keeps a convolution of its own, and both are added. With f channels
that takes 8 f multiplications for each value instead of 2 f + 9 f, and nothing is joined.

It is done where a converted network is loaded to be run. Files and training keep the blocks of the design, whose
weights mean something.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from openvino import Model, Node, Output


def fold_steps_up(model: "Model") -> int:
    """Rewrite an OpenVINO model of `attention_unet` or `unet` in place, with answers equal up to rounding.

    Returns:
        How many steps up were folded: 4 of this project's networks, 0 of one that is built differently.
    """
    folded = 0
    for convolution in model.get_ordered_ops():
        if found := _step_up(convolution):
            total = _folded(*found)
            for target in convolution.output(0).get_target_inputs():
                target.replace_source_output(total.output(0))
            folded += 1
    model.validate_nodes_and_infer_types()
    return folded


def _step_up(convolution: "Node") -> tuple | None:
    """Return what a decoder's first convolution works with, or None for any other node.

    Returns:
        The features from below, the kernel that doubles them and the bias after it; the skip; the convolution's kernel.
    """
    if not (_is(convolution, "Convolution") and _is(join := convolution.input_value(0).get_node(), "Concat")):
        return None
    doubled, skip = join.input_values()
    up, bias = doubled.get_node(), np.float32(0)
    if _is(up, "Add"):
        up, bias = up.input_value(0).get_node(), _constant(up.input_value(1))
    if not _is(up, "ConvolutionBackpropData"):
        return None
    up_kernel, kernel = (_constant(node.input_value(1)) for node in (up, convolution))
    if bias is None or up_kernel is None or kernel is None:
        return None
    return up.input_value(0), up_kernel, bias, skip, kernel


def _is(node: "Node", kind: str) -> bool:
    return node.get_type_name() == kind


def _constant(port: "Output") -> np.ndarray | None:
    return port.get_node().data if _is(port.get_node(), "Constant") else None


def _folded(
    features: "Output", up_kernel: np.ndarray, bias: np.ndarray | np.float32, skip: "Output", kernel: np.ndarray
) -> "Node":
    """Return the node that gives what the convolution gave; arguments as `_step_up` returns them."""
    from openvino import opset13 as ops

    below, beside = np.split(kernel, [up_kernel.shape[1]], axis=1)  # by the channels they meet
    from_below = ops.convolution_backprop_data(
        features,
        ops.constant(folded_kernel(up_kernel, below)),
        strides=[2, 2],
        pads_begin=[1, 1],
        pads_end=[1, 1],
    )
    if bias.any():
        height, width = (2 * side.get_length() for side in list(features.get_partial_shape())[2:])
        constant = ops.constant(folded_bias(bias.ravel(), below).astype(np.float32))
        for axis, side in ((2, height), (3, width)):  # first and last row stay, the one between is repeated
            constant = ops.gather(constant, np.array([0, *[1] * (side - 2), 2], np.int64), np.int64(axis))
        from_below = ops.add(from_below, constant)
    from_skip = ops.convolution(skip, ops.constant(beside), [1, 1], [1, 1], [1, 1], [1, 1])
    return ops.add(from_skip, from_below)


def folded_kernel(up: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the kernel of one transposed convolution, stride 2 and padding 1, that does the work of two layers.

    Args:
        up: (channels in, between, 2, 2), of a transposed convolution with stride 2.
        after: (channels out, between, 3, 3), of a convolution with padding 1.

    Returns:
        (channels in, channels out, 4, 4). A value of cell i reaches row 2 i + p by the first layer, then row
        2 i + p − y + 1 by the second; with padding 1 that is row p − y + 2 of the kernel.
    """
    kernel = np.zeros((4, 4, len(up), len(after)), up.dtype)
    up = np.ascontiguousarray(up.transpose(2, 3, 0, 1))
    after = np.ascontiguousarray(after.transpose(2, 3, 1, 0))
    for p, q, y, x in np.ndindex(2, 2, 3, 3):
        kernel[p - y + 2, q - x + 2] += up[p, q] @ after[y, x]
    return np.ascontiguousarray(kernel.transpose(2, 3, 0, 1))


def folded_bias(bias: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return what a bias between the two layers adds behind both: less at the border, where the padding has none.

    Args:
        bias: (between,).
        after: (channels out, between, 3, 3).

    Returns:
        (1, channels out, 3, 3): a corner, an edge, and so on; the middle row and column stand for all of the inside.
    """
    meets = np.array([[0, 1, 1], [1, 1, 1], [1, 1, 0]])  # first, inner, last row: which rows of the kernel are inside
    return (meets @ np.tensordot(bias, after, (0, 1)) @ meets.T)[np.newaxis]
