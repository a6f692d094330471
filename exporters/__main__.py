"""`python -m exporters`: the command line, where `torch2tfds` is not on the shell's path."""

from exporters.cli import main

if __name__ == "__main__":
    main()
