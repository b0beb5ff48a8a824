import pytest

from model.training.xml_tree import parse_xml


def test_a_tree_with_its_texts():
    root = parse_xml('<?xml version="1.0" encoding="utf-8"?><a><b>é &amp; &#65;</b>\n<b x="1"/></a>'.encode())
    assert root.tag == "a"
    assert [b.text for b in root.findall("b")] == ["é & A", None]


BOMB = '<!DOCTYPE a [<!ENTITY b "ha">' + "".join(
    f'<!ENTITY b{i} "{"&b;" * 10 if i == 0 else f"&b{i - 1};" * 10}">' for i in range(10)
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (f"{BOMB}]><a>&b9;</a>", "document type"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>', "document type"),
        ('<!DOCTYPE a SYSTEM "a.dtd"><a/>', "document type"),
        ("<a>&b;</a>", "not XML"),
        ("<a></b>", "not XML"),
        ("", "not XML"),
        ('<?xml version="1.0" encoding="none-such"?><a/>', "not XML"),
        ("<a>" + " " * 8_000_000 + "</a>", "8,000,007 bytes"),
    ],
)
def test_what_is_not_taken(data: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_xml(data.encode())
