"""`phalanx.controller.dependency`: dependencies, under the name that ipyparallel has for their module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.

>>> from phalanx.controller.dependency import Dependency
>>> Dependency is px.Dependency
True
"""

from __future__ import annotations

from phalanx.views.dependency import Dependency, depend, dependent, require

__all__ = ["Dependency", "depend", "dependent", "require"]
