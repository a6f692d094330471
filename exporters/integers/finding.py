"""Which integers the floats of a first batch were: the table of an `integers=` feature, known exactly or asked for.

Which integer belongs to the lowest float is known from what the caller says, from the transforms of the dataset, or because the
lowest and the highest value lie 255 (65,535) steps apart. It is never guessed.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from exporters import wording
from exporters.batches.rows import Rows
from exporters.errors import SchemaError
from exporters.integers import grid as grids_lib
from exporters.integers.formulas import Scale
from exporters.integers.grid import TOPS, Grid
from exporters.integers.values import place_of, values_by_channel
from exporters.options.integers import Given
from tfds_builder.aliases import Array
from tfds_builder.contract.decode import to_numpy_dtype
from tfds_builder.contract.integers import FLOATS, Integers

Known = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and std of a transform, one a channel or one for all."""
_USUAL: Sequence[Known] = (
    ((0.0,), (1.0,)),
    ((0.5,), (0.5,)),
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ((0.1307,), (0.3081,)),
    ((0.2860,), (0.3530,)),
    ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ((0.0,), (1 / 255,)),
    ((103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255,) * 3),
    ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
)
"""Those that many pipelines have; the line of an error offers one that fits."""


@dataclasses.dataclass(frozen=True)
class Found:
    """The grids of all channels, and scales that may have made them."""

    grids: list[Grid]
    scales: list[list[Scale]]


def find(name: str, column: Array | Rows, axis: int | None, given: Given, known: Sequence[Known], place: str) -> Integers:
    """The table of a feature.

    Args:
      name: flat name of the feature.
      column: of the first batch, as the loader gives it.
      axis: of its channels, the batch axis counted; None where there are none.
      given: what `integers=` says of it.
      known: mean and std of the transforms of the dataset.
      place: what errors begin with.

    Raises:
      SchemaError: the values are no integers of 8 or 16 bits, or it is not known which; says what to say then.
    """
    if column.dtype.name not in FLOATS:
        raise SchemaError(
            f"{place}: {wording.called('integers')} names {name!r}, which has dtype {column.dtype}: only floats are made "
            "integers; leave it out there"
        )
    dtype = column.dtype.name
    if given.floats is not None:
        return _of_table(name, given.floats, dtype, _channels_of(column, axis), place)
    values = values_by_channel(column, axis, place)
    if not values or not any(map(len, values)):
        raise SchemaError(f"{place}: the first batch has no value there; {_ask_table(name)}")
    where = functools.partial(place_of, column, axis)
    if given.scale is not None:
        found = _of_scale(values, dtype, given.scale)
        if found is None:
            raise SchemaError(f"{place}: {_unfit(values, dtype, given.scale)}; {_leave_out(name)}")
        return _complete(name, found, place, where)
    fitting = {grid_key(found): found for scale in known if (found := _of_scale(values, dtype, scale)) is not None}
    found = next(iter(fitting.values())) if len(fitting) == 1 else None
    found = _spanning(values, dtype) if found is None else found
    if found is not None:
        return _complete(name, found, place, where)
    if all(len(one) == 256 for one in values):  # each float there is was seen, in the order of the integers
        return _finish(name, np.stack(values), f"a table of 256 floats{' a channel' if len(values) > 1 else ''}", dtype)
    raise SchemaError(_ask(name, values, dtype, place))


def agrees(table: Integers, given: Given) -> bool:
    """Whether a table that was found before is what the caller says now."""
    if given.floats is not None:
        return given.floats.dtype == table.numpy_dtype and np.array_equal(given.floats, table.floats)
    if given.scale is None:
        return True
    found = _of_scale(
        list(table.floats.astype(np.float64)) * (1 if table.channels > 1 else len(given.scale[0])), table.dtype, given.scale
    )
    return found is not None and all(np.array_equal(grid.integers, np.arange(table.levels)) for grid in found.grids)


def advise(name: str, column: Array, axis: int) -> list[str] | dict[str, Known] | None:
    """What `integers=` must say of a feature to be followed, given its first batch; None where nothing would do."""
    try:
        find(name, column, axis, Given(), (), "")
    except SchemaError:
        offered = None
        try:
            offered = offer(values_by_channel(column, axis, ""), column.dtype.name)
            if offered is None:
                return None
            find(name, column, axis, Given(scale=offered), (), "")
        except SchemaError:
            return None
        return {name: offered}
    return [name]


def grid_key(found: Found) -> tuple[bytes, ...]:
    """The integers of all values: two scales that give the same ones need not be told apart."""
    return tuple(grid.integers.tobytes() + bytes([grid.top > TOPS[0]]) for grid in found.grids)


def _of_scale(values: Sequence[Array], dtype: str, scale: Known) -> Found | None:
    """Values under a mean and a std; None if they do not fit."""
    means, stds = (numbers * len(values) if len(numbers) == 1 else numbers for numbers in scale)
    if len(means) != len(values):
        return None
    for top in _tops(dtype):
        scales = [Scale.of(top, mean, std) for mean, std in zip(means, stds, strict=True)]
        found = [grids_lib.fit(one, dtype, scale) for one, scale in zip(values, scales, strict=True)]
        if (fitted := [grid for grid in found if grid is not None]) and len(fitted) == len(found):
            return Found(fitted, [[scale, *grids_lib.measure(grid)] for scale, grid in zip(scales, fitted, strict=True)])
    return None


def _spanning(values: Sequence[Array], dtype: str) -> Found | None:
    """Values of which the lowest and the highest are those of 0 and of the largest integer: of all channels together, or of
    each."""
    together = values[0]
    for one in values[1:]:
        together = np.union1d(together, one)
    for top in _tops(dtype):
        if (whole := grids_lib.span(together, dtype, top)) is not None:
            return Found([whole], [list(grids_lib.measure(whole))])
        if len(values) > 1:
            found = [grids_lib.span(one, dtype, top) for one in values]
            if (spans := [grid for grid in found if grid is not None]) and len(spans) == len(found):
                return Found(spans, [list(grids_lib.measure(grid)) for grid in spans])
    return None


def _tops(dtype: str) -> Sequence[int]:
    """The largest integers that floats of a dtype can tell from each other."""
    return TOPS[:1] if dtype in ("float16", "bfloat16") else TOPS


def _complete(name: str, found: Found, place: str, where: Callable[[int | None, float], str]) -> Integers:
    """The table, with the floats that the first batch did not show; `where` says in which row a value is, of which channel."""
    dtype, levels = found.grids[0].dtype, found.grids[0].levels
    for channel, grid in enumerate(found.grids):
        if len(both := np.flatnonzero(np.diff(grid.integers) == 0)):
            one, other = grid.values[both[0] : both[0] + 2].tolist()
            rows = [where(channel if len(found.grids) > 1 else None, value) for value in (one, other)]
            raise SchemaError(
                f"{place}: the values {one:.9g} ({rows[0]}) and {other:.9g} ({rows[1]}) would both be "
                f"{grid.integers[both[0]]}: two floats for one integer; {_leave_out(name)}"
            )
    completed = grids_lib.complete(found.grids, found.scales)
    if completed is not None:
        floats, used = completed
        return _finish(name, floats, rule_of(used), dtype)
    if all(len(grid.values) == levels for grid in found.grids):
        return _finish(name, np.stack([grid.values for grid in found.grids]), f"a table of {levels:,} floats", dtype)
    for channel, (grid, tried) in enumerate(zip(found.grids, found.scales, strict=True)):
        if odd := grids_lib.closest(grid, tried):
            integer, value, wanted = odd
            row = where(channel if len(found.grids) > 1 else None, value)
            raise SchemaError(
                f"{place}, {row}: value {value:.9g} is near {wanted:.9g}, the float of {integer} under {rule_of(tried[:1])}: "
                f"two floats for one integer; {_leave_out(name)}"
            )
    missing = max(levels - len(grid.values) for grid in found.grids)
    raise SchemaError(
        f"{place}: the first batch shows the floats of all but {missing:,} of {levels:,} integers of a channel, and no usual "
        f"order of computing gives these very bits, so that the others are not known; {_ask_table(name)}"
    )


def _finish(name: str, floats: Array, rule: str, dtype: str) -> Integers:
    """A table of float64, shape (channels, levels), in its own dtype; one row if all are the same."""
    table = floats.astype(to_numpy_dtype(dtype))
    if all(row.tobytes() == table[0].tobytes() for row in table):
        table = table[:1]
    if (np.diff(table.astype(np.float64)) <= 0).any():
        raise SchemaError(
            f"feature {name!r}: {dtype} is too coarse: two integers have one float under {rule}; {_leave_out(name)}"
        )
    return Integers.of(name, rule, table + to_numpy_dtype(dtype).type(0))


def _of_table(name: str, floats: Array, dtype: str, channels: int, place: str) -> Integers:
    if floats.dtype.name != dtype or len(floats) not in (1, channels):
        raise SchemaError(
            f"{place}: the table is of {floats.dtype}, shape {floats.shape}, and the data is {dtype} of {channels} channels; "
            f"give one of {dtype}, shape (256,) or ({channels}, 256)"
        )
    return _finish(name, floats.astype(np.float64), f"a table of {floats.shape[1]:,} floats", dtype)


def _channels_of(column: Array | Rows, axis: int | None) -> int:
    size = 1 if axis is None else column.shape[axis]
    return size or 1


def rule_of(scales: Sequence[Scale]) -> str:
    """What a scale does, in words.

    >>> rule_of([Scale.of(255, 0.0, 1.0)]), rule_of([Scale.of(255, 0.5, 0.5)]), rule_of([Scale.of(255, 0.1307, 0.3081)])
    ('x/255', 'x/127.5 - 1', '(x/255 - 0.1307)/0.3081')
    """
    if len(set(scales)) == 1:
        scales = scales[:1]
    first = scales[0]
    if len(scales) == 1 and first.mean == first.std:
        return f"x/{first.std_top:.12g} - 1"
    if len(scales) == 1 and first.mean == 0:
        return f"x/{first.std_top:.12g}" if first.std_top != 1 else "x"
    is_whole = all(scale.is_whole for scale in scales)
    means, stds = ([getattr(scale, key + ("_top" if is_whole else "")) for scale in scales] for key in ("mean", "std"))
    return f"({'x' if is_whole else f'x/{first.top}'} - {_show(means)})/{_show(stds)}"


def _show(numbers: Sequence[float]) -> str:
    texts = [f"{number:.10g}" for number in numbers]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


# --- what is asked -------------------------------------------------------------------------------


def _ask(name: str, values: Sequence[Array], dtype: str, place: str) -> str:
    """What to say where it is not known which integers the values are, with a line that says it."""
    steps = [grids_lib.step_of(one, dtype) for one in values]
    offered = offer(values, dtype)
    if offered is None:
        counts = max(map(len, values))
        return (
            f"{place}: up to {counts:,} different values a channel are not evenly spaced: no integers of 8 or 16 bits, scaled, "
            f"give them (resized as floats, or scaled image by image); {_leave_out(name)}"
        )
    apart = min(round((one[-1] - one[0]) / step) if step else len(one) - 1 for one, step in zip(values, steps, strict=True))
    return (
        f"{place}: it is not known which integers the floats were: the lowest and the highest lie {apart} steps apart in some "
        f"channel, not 255, and no transform of the dataset tells; say mean and std, as Normalize takes them: "
        f"{wording.argument('integers', {name: offered})}, if that is what makes them"
    )


def offer(values: Sequence[Array], dtype: str) -> Known | None:
    """A mean and a std that fit the values, for the line that asks; None if none do."""
    for scale in _USUAL:
        if (found := _of_scale(values, dtype, scale)) and grids_lib.complete(found.grids, found.scales) is not None:
            return scale
    means, stds = [], []
    for one in values:
        step = grids_lib.step_of(one, dtype)
        top = next((top for top in TOPS if step and (one[-1] - one[0]) / step <= top + 0.5), None)
        if top is None:
            return None
        counts = np.rint((one - one[0]) / step).astype(np.int64)
        places = range(min(TOPS[0], top) - min(TOPS[0], int(counts[-1])) + 1)
        best = min((next(grids_lib.measure(Grid(one, counts + place, dtype, top))) for place in places), key=grids_lib.length)
        means.append(best.mean)
        stds.append(best.std)
    same = len(set(zip(means, stds, strict=True))) == 1
    return (tuple(means[:1]), tuple(stds[:1])) if same else (tuple(means), tuple(stds))


def _unfit(values: Sequence[Array], dtype: str, scale: Known) -> str:
    means, stds = scale
    if len(means) not in (1, len(values)):
        return f"a mean and std of {len(means)} channels are given, and the data has {len(values)}"
    means, stds = (numbers * len(values) if len(numbers) == 1 else numbers for numbers in scale)
    for channel, (one, mean, std) in enumerate(zip(values, means, stds, strict=True)):
        rule = Scale.of(TOPS[0], mean, std)
        if grids_lib.fit(one, dtype, rule) is None:
            places = (one * std + mean) * TOPS[0]
            worst = int(np.argmax(np.abs(places - np.clip(np.rint(places), 0, TOPS[0]))))
            return (
                f"with mean {mean:g} and std {std:g} the value {one[worst]:.9g} of channel {channel} would be "
                f"{places[worst]:.6g}, which is no integer from 0 to 255"
            )
    return "8 bits do not hold all channels"


def _ask_table(name: str) -> str:
    return (
        f"give the floats themselves, {wording.called('integers')}: {{{name!r}: table}}, an array of shape (256,) or (channels, "
        "256): what your transform makes of the integers 0 to 255"
    )


def _leave_out(name: str) -> str:
    return f"export it as the floats it is, without {name!r} in {wording.called('integers')}"
