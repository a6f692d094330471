from typing import Generic, TypeVar

_T_co = TypeVar("_T_co", covariant=True)

class Dataset(Generic[_T_co]):
    def batch(self, batch_size: int) -> Dataset[_T_co]: ...
