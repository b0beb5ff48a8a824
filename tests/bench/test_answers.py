import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench.answers import TOLERANCE_PX, TOP, Agreement, agreement, read_floats
from bench.crowd import compare_answers
from tests.bench.tiny_server import Asked, Reply, tiny_server

BOXES = arrays.arrays(np.float32, st.tuples(st.integers(1, 150), st.just(4)), elements=st.floats(0, 1000, width=32))


@given(BOXES, st.randoms(use_true_random=False))
def test_an_answer_agrees_with_itself_in_whatever_order(boxes, random):
    order = list(range(len(boxes)))
    random.shuffle(order)
    assert agreement(boxes, boxes[order]) == Agreement(1.0, 0.0)


@given(BOXES)
def test_boxes_that_have_moved_too_far_are_not_the_same(boxes):
    spread = boxes + np.arange(len(boxes), dtype=np.float32)[:, None] * 2000  # no box near another
    assert agreement(spread, spread + 2 * TOLERANCE_PX).same == 0.0
    assert agreement(spread, spread + 0.25).same == 1.0


def test_only_the_first_are_asked_for():
    reference = np.zeros((TOP + 50, 4), dtype=np.float32)
    reference[TOP:] = 500
    assert agreement(reference, reference[:TOP]).same == 1.0
    assert agreement(reference[::-1], reference[:TOP]).same == 0.5


def test_an_empty_answer_agrees_with_an_empty_one_alone():
    none, one = np.zeros((0, 5), dtype=np.float32), np.ones((1, 5), dtype=np.float32)
    assert agreement(none, none).same == 1.0
    assert agreement(none, one).same == agreement(one, none).same == 0.0


def test_floats_are_five_for_each_box():
    rows = np.arange(10, dtype="<f4").reshape(2, 5)
    assert read_floats(rows.tobytes()).tolist() == rows.tolist()


def test_an_answer_that_differs_in_a_crowd_is_found(tmp_path):
    """The 30th answer is to another picture: its box is elsewhere, and that one answer is what is told."""
    pictures = [tmp_path / f"{name}.jpg" for name in "ab"]
    for x, path in enumerate(pictures):
        path.write_bytes(bytes([x]))

    def reply(number: int, asked: Asked) -> Reply:
        assert asked.headers["Accept"] == "application/octet-stream"
        x = 500 if number == 30 else 100 * asked.body[0]
        return Reply(body=np.array([x, 0, x + 10, 10, 0.5], dtype="<f4").tobytes())

    with tiny_server(reply) as server:
        worst, compared = compare_answers([server.address], list(map(str, pictures)))
    assert (worst.same, compared) == (0.0, 3)
    with tiny_server(lambda _, asked: reply(0, asked)) as server:
        assert compare_answers([server.address], list(map(str, pictures)))[0].same == 1.0
