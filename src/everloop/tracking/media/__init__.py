"""What a run can log besides numbers: pictures, sound, tables, texts, distributions. Tests: tests/unit/tracking/media."""

from everloop.tracking.media.values import (
    Audio,
    Histogram,
    Html,
    Image,
    Media,
    Points3D,
    Text,
    Vector,
    Video,
)

__all__ = ["Audio", "Histogram", "Html", "Image", "Media", "Points3D", "Text", "Vector", "Video"]
