"""Bars for the long steps of opening a snapshot."""

from __future__ import annotations

from collections.abc import Callable

from ._errors import UsageError


def named(name: str) -> Callable[[str, int, int], None]:
    """The callback of this name; tqdm is the one there is, and has to be installed."""
    if name != "tqdm":
        raise UsageError(f"progress is a callable, or the name 'tqdm', and not {name!r}")
    from tqdm.auto import tqdm

    bars: dict[str, tqdm[None]] = {}

    def show(step: str, done: int, total: int) -> None:
        bar = bars.get(step)
        if bar is None:
            bar = bars[step] = tqdm(total=total, desc=step, unit="B", unit_scale=True)
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show
