"""Values that are no numbers: what is kept of each, and what is refused."""

from __future__ import annotations

import io
import json
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import everloop as el
from everloop.tracking import Tracking
from everloop.tracking.client import BadValueError
from everloop.tracking.media.values import BadMediaError, Encoded, as_media

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(kernel: Kernel) -> Tracking:
    return Tracking(kernel)


def one(value: object) -> Encoded:
    found = as_media(value)
    assert found is not None
    [encoded] = found
    return encoded


def back(tracking: Tracking, value: object) -> Any:
    with tracking.start() as run:
        run.log(shown=value)
    [item] = tracking.media(run.id)
    return tracking.read_media(item)


def test_a_text_a_vector_and_a_table_come_back_as_they_were(tracking: Tracking) -> None:
    assert back(tracking, "schön \ud800") == "schön \\ud800"
    assert back(tracking, [1, 2.5, np.float32(3)]).tolist() == [1.0, 2.5, 3.0]
    assert back(tracking, np.arange(3)).tolist() == [0.0, 1.0, 2.0]
    columns = {"a": [1, 2], "b": ["x", None]}
    for table in (pa.table(columns), pd.DataFrame(columns), pl.DataFrame(columns)):
        assert back(tracking, table).to_pydict()["a"] == [1, 2]


def test_a_histogram_counts_every_number_and_keeps_its_borders(tracking: Tracking) -> None:
    values = np.random.default_rng(1).normal(size=(10, 100))
    values[0, 0] = np.nan
    bins = back(tracking, el.media.Histogram(values, bins=32))
    assert (len(bins.counts), len(bins.borders), bins.counts.sum()) == (32, 33, 999)
    assert one(el.media.Histogram(values)).details == {"not_finite": 1, "bins": 64, "count": 999.0}
    given = el.media.Histogram(counted=np.histogram([1, 2, 2, 5], bins=4))
    assert back(tracking, given).counts.tolist() == [1, 2, 0, 1]
    assert back(tracking, el.media.Histogram([float("inf")])).counts.tolist() == [0]


def test_arrays_become_pictures_with_the_same_colours(tracking: Tracking) -> None:
    import PIL.Image

    pixels = np.random.default_rng(1).integers(0, 256, (4, 5, 3), np.uint8)
    for given in (pixels, pixels / 255, pixels.astype(int), PIL.Image.fromarray(pixels)):
        content = back(tracking, el.media.Image(given, caption="noise"))
        assert (np.asarray(PIL.Image.open(io.BytesIO(content))) == pixels).all()
    assert one(el.media.Image(np.eye(3, dtype=bool), caption="i")).details == {
        "width": 3,
        "height": 3,
        "caption": "i",
    }


def test_figures_of_matplotlib_and_plotly_are_shown(tracking: Tracking) -> None:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2, 3])
    assert back(tracking, figure).startswith(b"\x89PNG")
    drawn = json.loads(back(tracking, go.Figure(go.Bar(x=[1, 2], y=[3, 4]))))
    assert drawn["data"][0]["type"] == "bar"


def test_sounds_films_points_and_pages(tracking: Tracking) -> None:
    import PIL.Image

    tone = np.sin(np.linspace(0, 100, 8000))
    with wave.open(io.BytesIO(back(tracking, el.media.Audio(tone, rate=8000)))) as sound:
        assert (sound.getnframes(), sound.getframerate(), sound.getnchannels()) == (8000, 8000, 1)
    frames = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), np.uint8)
    film = PIL.Image.open(io.BytesIO(back(tracking, el.media.Video(frames, fps=5))))
    assert getattr(film, "n_frames", 0) == 3
    assert back(tracking, el.media.Points3D(np.ones((2, 6)))).shape == (2, 6)
    assert back(tracking, el.media.Html("<b>x</b>")) == "<b>x</b>"


def test_files_are_kept_as_they_are_under_the_type_that_they_have(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    assert one(el.media.Image(tmp_path / "a.jpg")) == Encoded(
        "image", "image/jpeg", b"\xff\xd8\xff", {"file": "a.jpg"}
    )
    assert one(el.media.Video(b"\x1a\x45\xdf\xa3....")).media_type == "video/webm"
    assert one(el.media.Audio(b"RIFF....WAVEfmt ")).media_type == "audio/wav"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: el.media.Image(np.zeros((3, 8, 8))), "move the channels to the end"),
        (lambda: el.media.Image(np.zeros((0, 8))), "shape"),
        (lambda: el.media.Image("nowhere.png"), "no file"),
        (lambda: el.media.Image(np.array(["a"])), "not numbers"),
        (lambda: el.media.Audio(np.zeros(10)), "rate="),
        (lambda: el.media.Histogram([1.0], bins=0), "bins"),
        (lambda: el.media.Histogram(counted=([1], [1])), "borders"),
        (lambda: el.media.Points3D(np.zeros((3, 2))), "shape"),
        (lambda: el.media.Vector(["a"]), "no array of numbers"),  # type: ignore[list-item] # the point
        (lambda: el.media.Text("x" * (1 << 20) + "y"), "log_artifact"),
        (lambda: el.media.Html("x" * (65 << 20)), "log_artifact"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused_with_the_way_out(make: Any, says: str) -> None:
    with pytest.raises(BadMediaError, match=says):
        make()


def test_a_value_of_no_known_kind_is_refused_and_the_rest_of_its_call_is_not_kept(tracking: Tracking) -> None:
    with tracking.start() as run:
        for bad in (object(), {"a": 1}, b"bytes", [], [object()], 10**400, np.zeros((2, 2))):
            with pytest.raises(BadValueError, match="neither a number nor"):
                run.log(good=1, bad=bad)
    assert (tracking.get_run(run.id).metrics, tracking.media(run.id)) == ([], [])
