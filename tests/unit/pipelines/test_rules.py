"""Decisions of pipelines on their own: keys, sentences, pauses, readiness."""

from __future__ import annotations

from everloop.core.digests import digest_value
from everloop.pipelines.closure import CodeClosure
from everloop.pipelines.rules import (
    compare_keys,
    make_key,
    pause_s,
    say_difference,
)

CODE = CodeClosure(
    digest=digest_value("code"),
    parts={"function flow.fit": "b3:1", "package numpy": "numpy==2"},
    opaque=[],
    modules=[],
)


def test_a_key_depends_on_code_inputs_and_variables_and_not_on_their_order() -> None:
    key = make_key(CODE, {"x": "b3:x", "y": "b3:y"}, {"HOME": "/"})

    assert make_key(CODE, {"y": "b3:y", "x": "b3:x"}, {"HOME": "/"}).digest == key.digest
    assert make_key(CODE, {"x": "b3:y", "y": "b3:x"}, {"HOME": "/"}).digest != key.digest
    assert make_key(CODE, {"x": "b3:x", "y": "b3:y"}, {"HOME": "/root"}).digest != key.digest


def test_a_variables_value_is_not_readable_in_the_key() -> None:
    key = make_key(CODE, {}, {"TOKEN": "secret"})

    assert "secret" not in str(key.parts)


def test_a_difference_is_said_part_by_part() -> None:
    before = make_key(CODE, {"x": "b3:1", "old": "b3:1"}, {})
    now = make_key(CODE, {"x": "b3:2", "new": "b3:1"}, {})

    sentence = say_difference("fit", compare_keys(now, before))

    assert sentence == "fit ran because input x changed, input new is new, input old is gone."


def test_without_a_difference_or_an_earlier_run_the_sentence_says_that() -> None:
    key = make_key(CODE, {}, {})

    assert say_difference("fit", compare_keys(key, key)) == "fit has the key of the run before."
    assert say_difference("fit", None) == "fit has no earlier run to compare with."


def test_pauses_double_up_to_a_minute() -> None:
    assert [pause_s(failures, 1.0) for failures in (1, 2, 3, 4, 20)] == [1.0, 2.0, 4.0, 8.0, 60.0]
