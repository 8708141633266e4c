"""What a plugin may provide. A plugin is a module whose functions are marked with `hookimpl`:

    from cream_store import hookimpl

    @hookimpl
    def cream_store_rows():
        return [OrderRow]

None of them has to be there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from cream_store.row import Row
    from cream_store.seeding import SeedStep
    from cream_store.store import Store
    from cream_store.studio.views import StudioView
    from cream_store.table_access import TableAccess

PROJECT: Final = "cream_store"
ENTRY_POINT_GROUP: Final = "cream_store.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def cream_store_rows() -> Iterable[type[Row]]:  # type: ignore[empty-body]  # a specification has no body
    """Return the tables that the plugin owns, referenced tables before those that refer to them."""


@hookspec
def cream_store_repositories() -> Iterable[type[TableAccess[Any]]]:  # type: ignore[empty-body]  # as above
    """Return the plugin's repositories."""


@hookspec
def cream_store_seed_steps() -> Iterable[SeedStep]:  # type: ignore[empty-body]  # as above
    """Return what `cream-store db seed` stores for the plugin, in order; see `cream_store.seeding`."""


@hookspec
def cream_store_studio_views() -> Iterable[StudioView]:  # type: ignore[empty-body]  # as above
    """Return what the plugin shows on the first page of `cream-store studio`, in order; see `studio.views`."""


@hookspec
def cream_store_requires() -> Iterable[str]:  # type: ignore[empty-body]  # as above
    """Return the names of the plugins whose tables this plugin's tables refer to."""


@hookspec(firstresult=True)
def cream_store_demo(store: Store, story: Any) -> Iterable[Any]:  # type: ignore[empty-body]  # as above
    """Add the plugin's part to `cream-store demo`: store something, and return what to show of it.

    `story` is a `Story`, and what is returned are `Section`s; both are in `cream_plugins.vocabulary.demo`, as this
    package knows nothing of trading. Import what the part needs inside the function: a service never calls it.
    """
