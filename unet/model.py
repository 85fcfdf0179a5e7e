"""The Attention U-Net, block for block.

A U-Net (Ronneberger et al. 2015, arXiv:1505.04597) whose skip connections pass through additive
attention gates (Oktay et al. 2018, arXiv:1804.03999). Every width is the same code with another
`filters`; the reference is 64 at 256 × 256 × 3, 32,094,725 parameters.

Built from Keras' own layers only, so a saved model loads with `safe_mode` on and no custom objects.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import layers

from unet import context
from unet.language import t

Tensor = Any  # a `keras.KerasTensor`, which Keras' layers take and return without types
LEVELS = 4  # encoder levels above the bottleneck; the picture's sides must divide by 2**LEVELS


def conv_block(x: Tensor, filters: int, name: str) -> Tensor:
    """Conv 3×3 + ReLU → Conv 3×3 → batch normalisation → ReLU; (B, H, W, C) to (B, H, W, filters)."""
    x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"{name}_conv_1")(x)
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv_2")(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)  # 0.9: settles in short runs too
    return layers.ReLU(name=f"{name}_relu")(x)


def encoder_block(x: Tensor, filters: int, name: str) -> tuple[Tensor, Tensor]:
    """Return the skip, (B, H, W, filters), and what goes on down, (B, H/2, W/2, filters)."""
    skip = conv_block(x, filters, name)
    return skip, layers.MaxPooling2D(2, name=f"{name}_pool")(skip)


def attention_block(gating_signal: Tensor, skip: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """Weigh a skip connection by where the deeper level says the answer lies.

    Args:
        gating_signal: (B, H/2, W/2, C'), the decoder's features one level further down.
        skip: (B, H, W, C).
        level: 1 is the finest; names the layers.

    Returns:
        The gated skip, (B, H, W, C), and the attention map, (B, H/2, W/2, 1) in [0, 1].
    """
    channels, name = skip.shape[-1], f"attention_{level}"
    phi = layers.Conv2D(channels, 1, name=f"{name}_phi")(gating_signal)
    theta = layers.Conv2D(channels, 1, strides=2, name=f"{name}_theta")(skip)
    x = layers.Add(name=f"{name}_add")([phi, theta])
    x = layers.ReLU(name=f"{name}_relu")(x)
    attention_map = layers.Conv2D(1, 1, activation="sigmoid", name=name)(x)
    upsampled = layers.UpSampling2D(2, name=f"{name}_up")(attention_map)  # (B, H, W, 1)
    gated = layers.Multiply(name=f"{name}_gate")([skip, upsampled])
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(gated), attention_map


def decoder_block(x: Tensor, filters: int, skip: Tensor, name: str) -> Tensor:
    """Double the picture, join the gated skip, convolve; (B, H/2, W/2, C) to (B, H, W, filters)."""
    x = layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_up")(x)
    x = layers.Concatenate(name=f"{name}_join")([x, skip])
    return conv_block(x, filters, name)


def attention_unet(filters: int = 64, input_shape: tuple = (256, 256, 3)) -> keras.Model:
    """Build the Attention U-Net; one forward pass gives the probability and the four attention maps.

    Args:
        filters: width of the first level; each level down doubles it.
        input_shape: (height, width, 3), sides divisible by 16, or None for a side that may vary.

    Returns:
        A functional model from normalised slices, (B, H, W, 3), to a dict: `probability`, (B, H, W, 1),
        and `attention_1` … `attention_4`, (B, H/2, W/2, 1) … (B, H/16, W/16, 1), all in [0, 1].

    Raises:
        ValueError: filters below 1, or a side that 16 does not divide.
    """
    return _network(filters, input_shape, gated=True)


def plain_unet(filters: int = 64, input_shape: tuple = (256, 256, 3)) -> keras.Model:
    """Build the same U-Net with its skips joined as they are, to see what the gates add.

    Arguments, outputs and errors as `attention_unet`. A skip without a gate lets everything through, so its
    attention maps are 1 everywhere.
    """
    return _network(filters, input_shape, gated=False)


def _network(filters: int, input_shape: tuple, gated: bool) -> keras.Model:
    if filters < 1:
        raise ValueError(
            t("filters is {filters}; expected a width of 1 or more (the reference is 64)", filters=filters)
        )
    for side in input_shape[:2]:
        if side is not None and side % 2**LEVELS:
            raise ValueError(
                t(
                    "a side of {side} pixels is not divisible by {levels}. Resize or pad the picture first.",
                    side=side,
                    levels=2**LEVELS,
                )
            )

    inputs = keras.Input(input_shape, name="slice")
    x, skips, attention_maps = inputs, {}, {}
    for level in range(1, LEVELS + 1):
        skips[level], x = encoder_block(x, filters * 2 ** (level - 1), f"encoder_{level}")
    x = conv_block(x, filters * 2**LEVELS, "bottleneck")  # (B, H/16, W/16, 16·filters)
    for level in range(LEVELS, 0, -1):
        skip = skips[level]
        if gated:
            skip, attention_maps[f"attention_{level}"] = attention_block(x, skip, level)
        x = decoder_block(x, filters * 2 ** (level - 1), skip, f"decoder_{level}")
    # float32 whatever the policy: bfloat16 has 8 bits, too few for a probability near 0 or 1
    logits = layers.Conv2D(1, 1, dtype="float32", name="logits")(x)
    probability = layers.Activation("sigmoid", dtype="float32", name="probability")(logits)
    if not gated:
        for level in range(LEVELS, 0, -1):
            grid = layers.AveragePooling2D(2**level, name=f"grid_{level}")(probability)
            attention_maps[f"attention_{level}"] = layers.Rescaling(0.0, 1.0, name=f"attention_{level}")(grid)
    name = "attention_unet" if gated else "unet"
    return keras.Model(inputs, {"probability": probability, **attention_maps}, name=name)


def context_unet(filters: int = 64, input_shape: tuple = (256, 256, 9)) -> keras.Model:
    """Build the Attention U-Net that sees the slices below and above too: nine channels instead of three.

    Arguments, outputs and errors as `attention_unet`; the mask is that of the slice in the middle.
    """
    return _network(filters, input_shape, gated=True)


ARCHITECTURES = {"attention-unet": attention_unet, "unet": plain_unet, "attention-unet-context": context_unet}


def input_channels(architecture: str) -> int:
    """Return the channels of a network's input: 3, or 9 where it sees its neighbours too.

    >>> input_channels("attention-unet"), input_channels("attention-unet-context")
    (3, 9)
    """
    return context.input_channels(context.context_slices(architecture))


@contextmanager
def built_in(policy: str) -> Iterator[None]:
    """Build networks at a Keras policy such as `float32`; a layer keeps the one it was built at.

    The policy is a global of the process, so that the networks above can stay free of it: it is put back.
    """
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)
