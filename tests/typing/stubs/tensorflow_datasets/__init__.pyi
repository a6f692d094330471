import dataclasses
from typing import Any

@dataclasses.dataclass(eq=False)
class ReadConfig:
    shuffle_seed: int | None = None

def __getattr__(name: str) -> Any: ...
