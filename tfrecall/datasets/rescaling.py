"""What a model's user did to raw pixels outside the model: a rescaling, or a mode of Keras's `preprocess_input`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tfrecall.errors import InputError, unknown


@dataclass(frozen=True)
class Preprocessing:
    """A linear map of pixels: channels reversed or not, then times a scale, plus an offset.

    Attributes
    ----------
    name : str
        As `preprocessing` takes it; empty for raw pixels.
    scale, offset : tuple of float
        One number, or one for each of the channels red, green and blue in the order in which they come out.
    reverses_channels : bool
        Whether RGB becomes BGR.
    """

    name: str = ""
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    reverses_channels: bool = False

    @property
    def option(self) -> str:
        """The command line's option for it."""
        return f"--preprocess {self.name}" if self.name in MODES else f"--rescale {self.name}"

    def __call__(self, images):
        """Return ``images[..., channel]``, float32, an array or a tensor, preprocessed."""
        if not self.name:
            return images
        if self.reverses_channels:
            images = images[..., ::-1]
        return images * np.float32(self.scale) + np.float32(self.offset)

    def require_channels(self, channels: int) -> None:
        """Raise InputError if it is for images with another number of channels."""
        if len(self.offset) > 1 and channels != len(self.offset):
            raise InputError(
                f"preprocess {self.name} is for images with 3 channels, but the model takes {channels}: use tf, or a "
                "rescaling such as 1/255."
            )


RAW = Preprocessing()

# The numbers of keras.applications.imagenet_utils.preprocess_input.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MODES = {
    "caffe": Preprocessing("caffe", offset=(-103.939, -116.779, -123.68), reverses_channels=True),
    "tf": Preprocessing("tf", (1 / 127.5,), (-1.0,)),
    "torch": Preprocessing(
        "torch", tuple(1 / 255 / d for d in _DEVIATION), tuple(-m / d for m, d in zip(_MEAN, _DEVIATION))
    ),
}


def preprocessing(text: str | None) -> Preprocessing:
    """Return what a text stands for.

    Parameters
    ----------
    text : str or None
        ``"caffe"``, ``"tf"`` or ``"torch"``, the modes of ``keras.applications.imagenet_utils.preprocess_input``;
        ``"SCALE"`` or ``"SCALE,OFFSET"``, as in ``keras.layers.Rescaling``, such as ``"1/255"`` and ``"1/127.5,-1"``;
        None for raw pixels.

    Returns
    -------
    Preprocessing

    Raises
    ------
    InputError
        When the text is none of these.

    Examples
    --------
    >>> preprocessing("1/127.5,-1")(np.float32([0, 255])).tolist()
    [-1.0, 1.0]
    """
    if text is None:
        return RAW
    if isinstance(text, str) and text in MODES:
        return MODES[text]
    try:
        scale, offset = (_number(part) for part in (text.split(",") if "," in text else (text, "0")))
    except (ValueError, ZeroDivisionError, TypeError):
        if isinstance(text, str) and text.strip().isalpha():
            raise unknown("preprocessing", text, MODES, "A rescaling such as 1/255 or 1/127.5,-1 is accepted too.") from None
        raise InputError(f"a rescaling is text, SCALE or SCALE,OFFSET, such as 1/255 or 1/127.5,-1; got {text!r}.") from None
    if not (math.isfinite(scale) and math.isfinite(offset) and scale):
        raise InputError(f"a rescaling has a finite scale other than 0 and a finite offset; got {text!r}.")
    return Preprocessing(text, (scale,), (offset,))


def _number(text: str) -> float:
    numerator, slash, denominator = text.partition("/")
    return float(numerator) / float(denominator) if slash else float(numerator)
