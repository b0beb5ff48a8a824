"""XML from anywhere to a tree, without what makes XML dangerous.

Every attack by expansion (billion laughs, quadratic blow-up) and every read of another file or host needs entities, and
entities are declared in a document type declaration. Annotation files have none: one that has is refused at its first
line, before anything in it is read. A cap on the size bounds the rest.
"""

from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

# A picture with a thousand boxes is described in 0.3 MB.
_MAX_BYTES = 8_000_000


def parse_xml(data: bytes) -> Element:
    """The root element.

    Raises:
        ValueError: the data are not well-formed, declare a document type, or are over the cap.
    """
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{len(data):,} bytes, more than the {_MAX_BYTES:,} that are taken")
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an encoding that Python does not know
        raise ValueError(f"not XML ({error})") from error
    return builder.close()


def _refuse(*_declaration: object) -> NoReturn:
    raise ValueError("declares a document type, which is not taken (it could hold entities)")
