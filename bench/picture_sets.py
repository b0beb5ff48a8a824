"""The JPEGs that are sent, written to a folder once: one set of equal pictures, one of what callers mix."""

from pathlib import Path

from bench.photographs import jpeg, photograph

Sizes = tuple[tuple[int, int], ...]

# A VGA frame: what many cameras send, and about what applications make of larger pictures before they upload them.
VGA: Sizes = ((640, 480),) * 8
# From a frame to a camera's 12 megapixels, upright and across, of the usual shapes.
MIXED: Sizes = (
    (640, 480),
    (480, 640),
    (800, 600),
    (1280, 720),
    (1600, 1200),
    (1920, 1080),
    (3000, 2000),
    (4000, 3000),
)
SETS: dict[str, Sizes] = {"640x480": VGA, "mixed": MIXED}


def write_pictures(sizes: Sizes, folder: Path, *, progressive: bool = False) -> list[Path]:
    """Photographs of these sizes, each another one, in order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:02d}-{width}x{height}.jpg" for number, (width, height) in enumerate(sizes)]
    for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        path.write_bytes(jpeg(photograph(*size, seed=number), progressive=progressive))
    return paths


def read_pictures(folder: Path) -> list[bytes]:
    """What `write_pictures` wrote, in its order."""
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
