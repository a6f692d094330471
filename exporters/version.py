"""The one place the version of torch2tfds is written (hatchling reads it too)."""

__version__ = "0.1.0"
PRODUCER = f"torch2tfds {__version__}"
