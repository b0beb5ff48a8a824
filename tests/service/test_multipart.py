import pytest

from service.errors import MalformedMultipart, MissingImage, TooManyPictures
from service.multipart import Part, PictureForm


def form(**limits: int) -> PictureForm:
    return PictureForm("multipart/form-data; boundary=B", **{"max_picture_bytes": 100, "max_pictures": 3, **limits})


def part(data: bytes, disposition: bytes = b'form-data; name="image"; filename="a.png"') -> bytes:
    return b"--B\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + data + b"\r\n"


def parse(body: bytes) -> list[Part]:
    parser = form()
    parser.feed(body)
    return parser.finish()


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_pieces_may_be_cut_anywhere(step):
    body = part(b"one\r\n--Bx") + part(b"field", b'form-data; name="other"') + part(b"two") + b"--B--\r\n"
    parser = form()
    for start in range(0, len(body), step):
        parser.feed(body[start : start + step])
    assert [p.data for p in parser.finish()] == [b"one\r\n--Bx", b"two"]


def test_oversize_picture_is_counted_and_dropped():
    parser = form(max_picture_bytes=10)
    parser.feed(part(b"x" * 50) + part(b"y" * 10) + b"--B--\r\n")
    assert [(p.size, p.data) for p in parser.finish()] == [(50, b""), (10, b"y" * 10)]


def test_other_parts_are_named_when_there_is_no_picture():
    parser = form()
    parser.feed(part(b"x", b'form-data; name="file"; filename="a.png"') + b"--B--\r\n")
    with pytest.raises(MissingImage, match="'file'"):
        parser.finish()


def test_a_form_without_a_byte_has_no_picture():
    """What clients send for a list of files that is empty."""
    with pytest.raises(MissingImage, match="the form is empty; send a picture as its field 'image'"):
        parse(b"")


@pytest.mark.parametrize("body", [b"a preamble\r\n" + part(b"x"), b"--C\r\n", b"--B \r\n" + part(b"x")[5:]])
def test_what_does_not_begin_with_the_boundary_is_told_so(body: bytes):
    with pytest.raises(MalformedMultipart, match="does not begin with a line of its content type's boundary"):
        parse(body)


def test_file_names_need_not_be_utf_8():
    parser = form()
    parser.feed(part(b"x", b'form-data; name="image"; filename="\xe9.png"') + b"--B--\r\n")
    assert parser.finish()[0].filename == "é.png"


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        part(b"x"),
        part(b"x")[:30],
        b"--B\r\nno colon\r\n\r\nx\r\n--B--\r\n",
        part(b"x") + b"--C--\r\n",
    ],
)
def test_malformed_bodies_are_refused(body):
    with pytest.raises(MalformedMultipart):
        parse(body)


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/x; boundary={'b' * 300}"]
)
def test_a_boundary_is_needed(content_type):
    with pytest.raises(MalformedMultipart):
        PictureForm(content_type, max_picture_bytes=1, max_pictures=1)


def test_a_content_type_that_nobody_sends_is_refused_before_it_is_taken_apart():
    with pytest.raises(MalformedMultipart, match="content type has more than 1,000 characters"):
        PictureForm('multipart/form-data; boundary=b; a="' + ";" * 1000, max_picture_bytes=1, max_pictures=1)


def test_too_many_pictures_are_refused():
    parser = form(max_pictures=2)
    with pytest.raises(TooManyPictures):
        parser.feed(part(b"x") * 3)


def test_too_many_other_parts_are_refused():
    with pytest.raises(MalformedMultipart, match="32"):
        form().feed(part(b"x", b'form-data; name="token"') * 33)


def test_a_boundary_that_is_everywhere_is_none():
    parser = form(max_picture_bytes=10**6)
    parser.feed(part(b"x")[:-2])
    for _ in range(10):
        parser.feed(b"\r\n--Bx" * 100)
    with pytest.raises(MalformedMultipart, match="the boundary occurs more than 1000 times"):
        parser.feed(b"\r\n--Bx")


@pytest.mark.parametrize("cut", [1, 5, 10**6])
def test_a_boundary_may_be_followed_by_a_few_spaces(cut):
    body = part(b"one") + b"--B" + b" \t" * 32 + part(b"two")[3:] + b"--B--\r\n"
    parser = form()
    for start in range(0, len(body), cut):
        parser.feed(body[start : start + cut])
    assert [p.data for p in parser.finish()] == [b"one", b"two"]


@pytest.mark.parametrize("cut", [1, 5, 10**6])
def test_a_boundary_that_is_followed_by_many_is_refused_before_they_are_parsed(cut):
    body = part(b"one") + b"--B" + b" \t" * 32
    parser = form()
    for start in range(0, len(body), cut):
        parser.feed(body[start : start + cut])
    with pytest.raises(MalformedMultipart, match="more than 64 spaces follow a boundary"):
        parser.feed(b" ")


def test_an_ended_part_is_held_once():
    parser = form()
    for piece in (part(b"on")[:-2], b"e\r\n", part(b"two"), b"--B--\r\n"):
        parser.feed(piece)
    assert [(p.data, p.pieces) for p in parser.finish()] == [(b"one", []), (b"two", [])]


@pytest.mark.parametrize("header", [b"Content-Disposition", b"content-disposition", b"CONTENT-DISPOSITION"])
def test_names_of_headers_are_of_either_case(header: bytes):
    [found] = parse(part(b"x").replace(b"Content-Disposition", header) + b"--B--\r\n")
    assert (found.data, found.filename) == (b"x", "a.png")
