"""Values that are no numbers, turned into bytes when they are logged, because a program may change them afterwards.

Libraries are looked for by what a value can do, never imported for the sake of a test. Tests: tests/unit/tracking/media/test_values.py.
"""

from __future__ import annotations

import io
import mimetypes
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from everloop.core.errors import InvalidInputError, UnavailableError
from everloop.tracking.records import MediaPoint

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from everloop.tracking.records import MediaKind, Plain

LARGEST_BYTES = 64 << 20
_LONGEST_TEXT = 1 << 20
_LONGEST_VECTOR = 1 << 20
_MOST_BINS = 4096
_FULL_COLOUR = 255
_PLAIN_SAMPLES = 32767


class BadMediaError(InvalidInputError):
    """A picture, sound, table or the like cannot be logged as it is."""

    code = "tracking.bad-media"


class PillowMissingError(UnavailableError):
    """Arrays become pictures by Pillow, which is not installed."""

    code = "tracking.pillow-missing"


class Encoded(NamedTuple):
    """A value as bytes.

    Attributes:
        kind: what it is.
        media_type: of the content.
        content: the bytes.
        details: what a reader needs to know before it opens the content.
    """

    kind: MediaKind
    media_type: str
    content: bytes
    details: dict[str, Plain]

    def at(self, name: str, step: float, time: int, *, index: int = 0) -> MediaPoint:
        """Return the value as it travels: under a name, at a step and a time in microseconds since 1970."""
        return MediaPoint(
            name=name,
            kind=self.kind,
            step=step,
            time=time,
            index=index,
            media_type=self.media_type,
            content=self.content,
            size_bytes=len(self.content),
            details=self.details,
        )


class Media:
    """A value that a run can log at a step."""

    def __init__(self, encoded: Encoded, *, caption: str = "") -> None:
        if len(encoded.content) > LARGEST_BYTES:
            raise BadMediaError(
                f"this {encoded.kind} has {len(encoded.content):,} bytes, and {LARGEST_BYTES:,} are shown."
                " Log it with `log_artifact`.",
                subject=encoded.kind,
            )
        if caption:
            encoded = encoded._replace(details={**encoded.details, "caption": caption})
        self.encoded = encoded


class Image(Media):
    """A picture.

    Args:
        image: array of shape (height, width), (height, width, 1), (height, width, 3) or (height, width, 4): whole numbers of
            0 to 255, or numbers of 0 to 1; a Pillow image; a Matplotlib figure; the path or bytes of a PNG, JPEG, WebP, GIF or SVG.
        caption: shown below.

    Raises:
        BadMediaError: it is none of these.
        PillowMissingError: an array, without Pillow.
    """

    def __init__(self, image: Any, *, caption: str = "") -> None:  # noqa: ANN401 - of several libraries
        super().__init__(_image(image), caption=caption)


class Audio(Media):
    """A sound.

    Args:
        sound: samples of shape (n,) or (n, channels), numbers of -1 to 1 or 16-bit whole numbers; or the path or bytes of a file.
        rate: samples a second, for an array.
        caption: shown below.

    Raises:
        BadMediaError: it is none of these.
    """

    def __init__(self, sound: Any, *, rate: int = 0, caption: str = "") -> None:  # noqa: ANN401 - of several libraries
        content = _file_content("audio", sound, "audio/wav")
        super().__init__(content or _sound(sound, rate), caption=caption)


class Video(Media):
    """A film.

    Args:
        video: the path or bytes of an MP4, WebM or GIF; or frames of shape (n, height, width, 3), which become a WebP by Pillow.
        fps: frames a second, for an array.
        caption: shown below.

    Raises:
        BadMediaError: it is none of these.
        PillowMissingError: an array, without Pillow.
    """

    def __init__(self, video: Any, *, fps: float = 10, caption: str = "") -> None:  # noqa: ANN401 - of several libraries
        content = _file_content("video", video, "video/mp4")
        super().__init__(content or _film(video, fps), caption=caption)


class Html(Media):
    """A page of HTML; it is shown in a frame that may do nothing but draw itself."""

    def __init__(self, html: str | Path, *, caption: str = "") -> None:
        text = html.read_text() if isinstance(html, Path) else html
        super().__init__(Encoded("html", "text/html", text.encode(), {}), caption=caption)


class Text(Media):
    """A text of at most a megabyte; a plain `str` logged at a step is one."""

    def __init__(self, text: str, *, caption: str = "") -> None:
        content = text.encode(errors="backslashreplace")
        if len(content) > _LONGEST_TEXT:
            raise BadMediaError(
                f"the text has {len(content):,} bytes, and {_LONGEST_TEXT:,} are shown. Log it with `log_artifact`.",
                subject="text",
            )
        super().__init__(Encoded("text", "text/plain", content, {}), caption=caption)


class Vector(Media):
    """Some numbers that belong together, in order: n doubles."""

    def __init__(self, values: Sequence[float] | npt.NDArray[Any], *, caption: str = "") -> None:
        numbers = _numbers("vector", values).reshape(-1)
        if len(numbers) > _LONGEST_VECTOR:
            raise BadMediaError(
                f"the vector has {len(numbers):,} numbers, and {_LONGEST_VECTOR:,} are shown. Log a histogram.",
                subject="vector",
            )
        super().__init__(
            Encoded("vector", "application/octet-stream", numbers.tobytes(), {"length": len(numbers)}),
            caption=caption,
        )


class Histogram(Media):
    """How numbers are spread.

    Args:
        values: any numbers; NaN and infinities are counted apart.
        bins: at most this many of equal width.
        counted: instead of `values`: the counts (n,) and borders (n + 1,) of bins, as numpy gives them.
        caption: shown below.

    Raises:
        BadMediaError: there are no bins to make, or counts and borders do not fit.
    """

    def __init__(
        self,
        values: Any = None,  # noqa: ANN401 - of several libraries
        *,
        bins: int = 64,
        counted: tuple[Any, Any] | None = None,
        caption: str = "",
    ) -> None:
        super().__init__(_histogram(values, bins, counted), caption=caption)


class Points3D(Media):
    """Points in space: array of shape (n, 3), (n, 4) with a class, or (n, 6) with colours of 0 to 255."""

    def __init__(self, points: Any, *, caption: str = "") -> None:  # noqa: ANN401 - of several libraries
        array = _numbers("points", points)
        if array.ndim != 2 or array.shape[1] not in (3, 4, 6):  # noqa: PLR2004 - as the docstring says
            raise BadMediaError(
                f"points have the shape {array.shape}. Give (n, 3), (n, 4) with a class, or (n, 6) with colours.",
                subject="points",
            )
        details: dict[str, Plain] = {"points": array.shape[0], "columns": array.shape[1]}
        super().__init__(
            Encoded("points", "application/octet-stream", array.astype("<f4").tobytes(), details),
            caption=caption,
        )


def as_media(value: object) -> list[Encoded] | None:
    """Return what to keep of a value that is no number; None when nothing here can show it.

    Args:
        value: one of the classes above, a text, a list of numbers or of those classes, an array of shape (n,), a table of pandas, Polars
            or Arrow, a figure of Matplotlib or Plotly, a Pillow image.
    """
    if isinstance(value, Mapping | bytes | bytearray):
        return None
    if isinstance(value, list | tuple):
        return _sequence(value)
    media = _as_one(value)
    return None if media is None else [media.encoded]


def _as_one(value: Any) -> Media | None:  # noqa: ANN401 - of several libraries
    found: Media | None = None
    if isinstance(value, Media):
        found = value
    elif isinstance(value, str):
        found = Text(value)
    elif hasattr(value, "to_plotly_json") and hasattr(value, "to_json"):
        found = Media(Encoded("plotly", "application/vnd.plotly.v1+json", str(value.to_json()).encode(), {}))
    elif hasattr(value, "__arrow_c_stream__"):
        found = Media(_table(value))
    elif hasattr(value, "savefig") or _is_pillow(value):
        found = Image(value)
    elif getattr(value, "ndim", 0) == 1 and hasattr(value, "shape"):
        found = Vector(value)
    return found


def _sequence(values: Sequence[object]) -> list[Encoded] | None:
    if not values:
        return None
    if all(isinstance(one, int | float) or getattr(one, "ndim", None) == 0 for one in values):
        return [Vector(values).encoded]  # type: ignore[arg-type] # numbers
    found: list[Encoded] = []
    for one in values:
        part = as_media(one) if not isinstance(one, str | list | tuple) else None
        if part is None:
            return None
        found += part
    return found


# -- pictures, sounds, films -----------------------------------------------------------------------------------------------


def _image(image: Any) -> Encoded:  # noqa: ANN401 - of several libraries
    if (content := _file_content("image", image, "image/png")) is not None:
        return content
    if hasattr(image, "savefig"):
        buffer = io.BytesIO()
        image.savefig(buffer, format="png", bbox_inches="tight")
        return Encoded("image", "image/png", buffer.getvalue(), {})
    pillow = image if _is_pillow(image) else _picture(_numbers("image", image, is_exact=False))
    buffer = io.BytesIO()
    pillow.save(buffer, format="PNG")
    return Encoded("image", "image/png", buffer.getvalue(), {"width": pillow.width, "height": pillow.height})


def _is_pillow(value: object) -> bool:
    return type(value).__module__.startswith("PIL.") and hasattr(value, "save")


def _picture(array: npt.NDArray[Any]) -> Any:  # noqa: ANN401 - an image of an optional library
    try:
        import PIL.Image
    except ImportError as error:
        raise PillowMissingError(
            "an array becomes a picture by Pillow. Install it: pip install 'everloop[media]'."
        ) from error
    if array.ndim == 3 and array.shape[2] == 1:  # noqa: PLR2004 - one channel
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:  # noqa: PLR2004 - channels
        raise BadMediaError(
            f"a picture has the shape {array.shape}. Give (height, width), or (height, width, 3 or 4)"
            f"{': move the channels to the end' if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ''}.",  # noqa: PLR2004 - channels
            subject="image",
        )
    return PIL.Image.fromarray(_as_bytes(array))


def _as_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return colours as whole numbers: those of 0 to 1 are spread, others cut to 0 to 255."""
    import numpy as np

    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "f":
        array = np.nan_to_num(array, posinf=_FULL_COLOUR)
        if array.max(initial=0) <= 1:
            array = array * _FULL_COLOUR
        array = np.rint(array)
    if array.dtype == bool:
        array = array * _FULL_COLOUR
    found: npt.NDArray[np.uint8] = np.clip(array, 0, _FULL_COLOUR).astype(np.uint8)
    return found


def _sound(sound: Any, rate: int) -> Encoded:  # noqa: ANN401 - of several libraries
    import numpy as np

    array = _numbers("audio", sound, is_exact=False)
    if array.ndim not in (1, 2) or not array.size or rate <= 0:
        raise BadMediaError(
            f"a sound has the shape {array.shape} and {rate} samples a second. Give (n,) or (n, channels), and `rate=`.",
            subject="audio",
        )
    if array.dtype.kind == "f":
        array = np.rint(np.clip(np.nan_to_num(array), -1, 1) * _PLAIN_SAMPLES)
    channels = array.shape[1] if array.ndim > 1 else 1
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(array.astype("<i2").tobytes())
    return Encoded(
        "audio", "audio/wav", buffer.getvalue(), {"rate": rate, "seconds": round(len(array) / rate, 3)}
    )


def _film(video: Any, fps: float) -> Encoded:  # noqa: ANN401 - of several libraries
    frames = _numbers("video", video, is_exact=False)
    if frames.ndim not in (3, 4) or not frames.size:
        raise BadMediaError(
            f"frames have the shape {frames.shape}. Give (n, height, width) or (n, height, width, 3).",
            subject="video",
        )
    first, *rest = [_picture(frame) for frame in frames]
    buffer = io.BytesIO()
    first.save(
        buffer, format="WEBP", save_all=True, append_images=rest, duration=max(int(1000 / fps), 1), loop=0
    )
    details: dict[str, Plain] = {
        "frames": len(frames),
        "fps": fps,
        "width": first.width,
        "height": first.height,
    }
    return Encoded("video", "image/webp", buffer.getvalue(), details)


def _file_content(kind: MediaKind, value: Any, media_type: str) -> Encoded | None:  # noqa: ANN401 - a path, bytes, or else
    """Return a file, or bytes of one, as they are; None for everything else."""
    if isinstance(value, str | Path):
        path = Path(value)
        if not path.is_file():
            raise BadMediaError(f"there is no file {path}. Give the path of one, or its bytes.", subject=kind)
        found = mimetypes.guess_type(path.name)[0] or media_type
        if path.stat().st_size > LARGEST_BYTES:
            raise BadMediaError(
                f"{path} has {path.stat().st_size:,} bytes, and {LARGEST_BYTES:,} are shown. Log it with `log_artifact`.",
                subject=kind,
            )
        return Encoded(kind, found, path.read_bytes(), {"file": path.name})
    if isinstance(value, bytes | bytearray):
        return Encoded(kind, _sniff(bytes(value[:16])) or media_type, bytes(value), {})
    return None


_MAGIC = (
    (b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif"), (b"<svg", "image/svg+xml"), (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"ID3", "audio/mpeg"), (b"OggS", "audio/ogg"), (b"fLaC", "audio/flac"),
)  # fmt: skip


def _sniff(head: bytes) -> str:
    """Return the media type that the first bytes of a file say."""
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        return "video/mp4"
    return next((media_type for magic, media_type in _MAGIC if head.startswith(magic)), "")


# -- numbers and tables ----------------------------------------------------------------------------------------------------


def _numbers(kind: str, values: Any, *, is_exact: bool = True) -> npt.NDArray[Any]:  # noqa: ANN401 - of several libraries
    """Return values as an array of numbers; of doubles where they are kept exactly."""
    import numpy as np

    detach = getattr(values, "detach", None)
    if callable(detach):  # of PyTorch, which may lie on an accelerator
        values = detach().cpu()
    try:
        array = np.asarray(values, "<f8") if is_exact else np.asarray(values)
    except (TypeError, ValueError) as error:
        raise BadMediaError(f"the {kind} is no array of numbers: {error}. Give one.", subject=kind) from error
    if array.dtype.kind not in "fiub":
        raise BadMediaError(f"the {kind} holds {array.dtype}, not numbers. Give numbers.", subject=kind)
    return array


def _histogram(values: Any, bins: int, counted: tuple[Any, Any] | None) -> Encoded:  # noqa: ANN401 - of several libraries
    import numpy as np

    details: dict[str, Plain] = {}
    if counted is not None:
        counts, borders = (_numbers("histogram", part).reshape(-1) for part in counted)
        if len(borders) != len(counts) + 1 or not len(counts) or (np.diff(borders) < 0).any():
            raise BadMediaError(
                f"a histogram has {len(counts)} counts and {len(borders)} borders. Give n counts and n + 1 rising borders.",
                subject="histogram",
            )
    else:
        if not 1 <= bins <= _MOST_BINS:
            raise BadMediaError(
                f"a histogram of {bins} bins cannot be drawn. Give 1 to {_MOST_BINS:,}.", subject="histogram"
            )
        numbers = _numbers("histogram", values).reshape(-1)
        finite = numbers[np.isfinite(numbers)]
        whole = np.histogram(finite, bins) if len(finite) else (np.zeros(1), np.array([0.0, 1.0]))
        counts, borders = whole[0].astype("<f8"), whole[1].astype("<f8")
        if len(finite) < len(numbers):
            details["not_finite"] = len(numbers) - len(finite)
    details |= {"bins": len(counts), "count": float(counts.sum())}
    return Encoded("histogram", "application/octet-stream", counts.tobytes() + borders.tobytes(), details)


def _table(value: Any) -> Encoded:  # noqa: ANN401 - of several libraries
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(value)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    details: dict[str, Plain] = {"rows": table.num_rows, "columns": table.num_columns}
    return Encoded("table", "application/vnd.apache.parquet", buffer.getvalue(), details)
