"""The Python half of the canvas: what is shown and drawn, in the value range, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.ui.canvas import Canvas


def stroke(canvas: Canvas, **changed: np.ndarray) -> None:
    """What the browser sends at the end of a stroke."""
    state = {name: memoryview(array.tobytes()) for name, array in changed.items()}
    canvas.set_state({**state, "edits": canvas.edits + 1})


def drawn(*shape: int) -> np.ndarray:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def test_a_new_canvas_is_black_and_unpainted():
    canvas = Canvas(shape=(20, 30))
    assert canvas.image.shape == canvas.mask.shape == (20, 30)
    assert not canvas.image.any() and not canvas.mask.any()
    assert canvas.image.dtype == np.float32 and canvas.mask.dtype == bool


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.bfloat16])
def test_a_shown_image_is_what_it_was(kind):
    values = np.linspace(-1, 1, 12).reshape(1, 3, 4)
    image = torch.tensor(values, dtype=kind) if isinstance(kind, torch.dtype) else values.astype(kind)
    canvas = Canvas()
    canvas.show(image, value_range=(-1, 1))
    assert canvas.image.dtype == np.float32
    np.testing.assert_array_equal(canvas.image, torch.as_tensor(image)[0].float().numpy())


def test_three_channels_come_first_and_stay():
    canvas = Canvas()
    canvas.show(drawn(3, 5, 4), value_range=(-1, 1))
    np.testing.assert_array_equal(canvas.image, drawn(3, 5, 4))
    assert canvas.mask.shape == (5, 4)


def test_bytes_count_as_black_to_white():
    canvas = Canvas()
    canvas.show(np.array([[0, 255], [51, 102]], np.uint8), value_range=(-1, 1))
    np.testing.assert_allclose(canvas.image, [[-1, 1], [-0.6, -0.2]], atol=1e-6)


def test_an_image_is_one_message(monkeypatch):
    messages: list[set[str]] = []
    canvas = Canvas()
    monkeypatch.setattr(Canvas, "send_state", lambda self, key=None: messages.append(set(key)))
    canvas.show(drawn(28, 28), value_range=(-1, 1))
    assert messages == [{"pixels", "picture"}]


def test_a_stroke_reaches_the_callback_until_it_is_removed_and_python_does_not():
    canvas, seen = Canvas(shape=(4, 6)), []
    stop = canvas.on_draw(seen.append)
    canvas.show(np.ones((4, 6)))
    canvas.clear()
    assert seen == []
    stroke(canvas, pixels=drawn(4, 6))
    stop()
    stroke(canvas, pixels=-drawn(4, 6))
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], drawn(4, 6))
    np.testing.assert_array_equal(canvas.image, -drawn(4, 6))


def test_a_painted_mask_reaches_the_callback_and_leaves_the_image_alone():
    canvas, seen = Canvas(mode="mask"), []
    canvas.on_mask(seen.append)
    canvas.show(drawn(4, 6), value_range=(-1, 1))
    painted = np.eye(4, 6, dtype=np.uint8)
    stroke(canvas, painted=painted)
    assert seen[0].dtype == bool
    np.testing.assert_array_equal(seen[0], painted.astype(bool))
    np.testing.assert_array_equal(canvas.image, drawn(4, 6))


def test_what_is_handed_out_is_a_copy():
    canvas = Canvas(shape=(4, 6))
    canvas.image[:] = 1
    canvas.mask[:] = True
    assert not canvas.image.any() and not canvas.mask.any()


def test_a_mask_stays_while_the_size_stays():
    canvas = Canvas(mode="mask", shape=(4, 6))
    canvas.mask = np.eye(4, 6, dtype=bool)
    canvas.show(drawn(3, 4, 6))
    assert canvas.mask.sum() == 4
    canvas.show(drawn(6, 4))
    assert canvas.mask.shape == (6, 4) and not canvas.mask.any()


def test_clear_empties_what_strokes_change():
    canvas = Canvas()
    canvas.show(drawn(4, 6), value_range=(-1, 1))
    canvas.clear()
    np.testing.assert_array_equal(canvas.image, np.full((4, 6), -1))
    canvas = Canvas(mode="mask")
    canvas.show(drawn(4, 6), value_range=(-1, 1))
    canvas.mask = np.ones((4, 6), bool)
    canvas.clear()
    assert not canvas.mask.any()
    np.testing.assert_array_equal(canvas.image, drawn(4, 6))


def test_a_stroke_on_the_picture_before_is_late():
    canvas = Canvas(shape=(4, 6))
    canvas.show(drawn(5, 5), value_range=(-1, 1))
    stroke(canvas, pixels=np.zeros((4, 6), np.float32))
    np.testing.assert_array_equal(canvas.image, drawn(5, 5))


def test_the_brush_suits_the_picture_and_may_be_chosen():
    assert Canvas(shape=(3, 56, 56)).brush == 2 * Canvas().brush
    canvas = Canvas(brush=7)
    assert canvas.brush == 7
    canvas.show(np.zeros((14, 14)))
    assert canvas.brush == 3.5
    with pytest.raises(ValueError, match="positive width in pixels of the image, got 0"):
        Canvas(brush=0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(100), r"\(100,\)\. Signals cannot be drawn"),
        (np.zeros((28, 28, 3)), "channels come first"),
        (np.zeros((2, 28, 28)), r"\(H, W\), \(1, H, W\) or \(3, H, W\), got shape \(2, 28, 28\)"),
        (np.zeros((1, 1, 28, 28)), r"x\[0\]"),
        (np.zeros((0, 28)), "got shape"),
        (np.full((4, 4), np.nan), "NaN or infinite"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_the_present_image_stays(image, message):
    canvas = Canvas()
    canvas.show(drawn(4, 6), value_range=(-1, 1))
    with pytest.raises(ValueError, match=message):
        canvas.show(image)
    np.testing.assert_array_equal(canvas.image, drawn(4, 6))


def test_a_range_that_is_none_is_refused():
    with pytest.raises(ValueError, match="low < high"):
        Canvas().show(drawn(4, 6), value_range=(1, 1))


def test_a_mode_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"on_draw needs Canvas\(mode='draw'\); this one has mode='mask'"):
        Canvas(mode="mask").on_draw(print)
    with pytest.raises(ValueError, match="on_mask needs"):
        Canvas().on_mask(print)
    with pytest.raises(ValueError, match="mask needs"):
        Canvas().mask = np.ones((28, 28), bool)
    with pytest.raises(ValueError, match="mode must be 'draw' or 'mask', got 'paint'"):
        Canvas(mode="paint")


@pytest.mark.parametrize("mask", [np.ones((28, 27), bool), np.ones((28, 28))])
def test_a_mask_of_another_kind_is_refused(mask):
    with pytest.raises(ValueError, match=r"boolean of the image's height and width \(28, 28\), got"):
        Canvas(mode="mask").mask = mask


@pytest.mark.parametrize("wrong", [None, "0" * 16, [0] * 16, np.full((2, 2), np.nan, "<f4").tobytes(), b"0"])
def test_what_is_no_picture_leaves_the_present_one(wrong):
    canvas = Canvas(shape=(2, 2))
    canvas.show(drawn(2, 2), value_range=(-1, 1))
    canvas.set_state({"pixels": wrong, "edits": 1})
    np.testing.assert_array_equal(canvas.image, drawn(2, 2))
