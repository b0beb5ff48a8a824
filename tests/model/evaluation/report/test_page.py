from html.parser import HTMLParser

from model.evaluation.report import page


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert not tags.open, "every element is closed"
    return tags


def test_whatever_is_said_is_text_not_markup():
    evil = "<script>alert(1)</script>&\"'"
    pieces = [
        page.heading(evil),
        page.heading(evil, 3),
        page.paragraph(evil, "lead"),
        page.colour_key({"#fff": evil}),
        page.tiles({evil: evil}),
        page.charts([(evil, "<svg></svg>")]),
        page.table([evil], [[evil, evil]]),
        page.facts({evil: evil}),
        page.gallery([page.figure("data:,", evil, evil)]),
        page.folded(evil, evil),
    ]
    for piece in pieces:
        assert "<script" not in piece
        assert evil in "".join(parsed(piece).texts)
    assert "<script" not in page.page(evil, pieces)
    parsed(page.page(evil, pieces))


def test_the_browser_is_told_to_fetch_nothing():
    assert "default-src 'none'" in page.page("t", [])
