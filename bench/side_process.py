"""``python -m bench.side_process SIDE ...``: one side, with its imports made light first."""

from model.light_import import import_torchvision


def main() -> None:
    """Answer the lines of standard input."""
    import_torchvision()  # seconds less for each of a dozen processes
    from bench.sides import main as answer

    answer()


if __name__ == "__main__":
    main()
