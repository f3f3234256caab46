"""The pickler for what plain pickle cannot send: functions and classes by value.

Apart from `serialize`, because cloudpickle takes longer to load than all else, and many programs never
need it. Who may use it: `serialize`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any

import cloudpickle

from phalanx import functions

__all__ = ["Pickler"]


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, with functions by the rules of `functions`."""

    def __init__(
        self,
        file: io.BytesIO,
        buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None,
        facts: functions.Facts | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.facts = facts or functions.Facts()

    def reducer_override(self, obj: Any) -> Any:
        """Functions by our own rules, memoryviews as buffers, all else as cloudpickle has it."""
        if type(obj) is FunctionType:
            if functions.is_importable(obj):
                return NotImplemented
            if functions.is_interactive(obj):
                return functions.reduce_interactive(obj, self.facts)
            functions.note_dynamic(obj, self.facts)
        elif type(obj) is memoryview:
            return (memoryview, (pickle.PickleBuffer(obj),))
        return super().reducer_override(obj)
