"""The entry module. Nothing is imported at top level: every capture worker imports this module again."""


def main() -> None:
    """Run the command line."""
    from tocsin.cli import run

    run()


if __name__ == "__main__":
    main()
