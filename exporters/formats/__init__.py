"""A file per format, loaded by name when it is used."""

from exporters.formats.base import Format, ShardContext, ShardWriter, Sink, find

__all__ = ["Format", "ShardContext", "ShardWriter", "Sink", "find"]
