"""The plugins' parts of the demo: what each of them makes of the story."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cream_plugins.vocabulary.demo import Section, Story
from cream_store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """What the plugins showed, and what went wrong, each with the plugin's name."""

    sections: list[tuple[str, Section]] = field(default_factory=list)
    failures: list[tuple[str, Exception]] = field(default_factory=list)


def tell_all(store: Store, story: Story) -> Parts:
    """Has each plugin of the store add its part, in a transaction of its own. One that fails stops no other."""
    parts = Parts()
    for plugin in store.plugins:
        if plugin.demo is None:
            continue
        try:
            with store.transaction():
                sections = _sections(plugin.demo, store, story)
        except Exception as error:  # noqa: BLE001  # a stranger's plugin may raise anything
            parts.failures.append((plugin.name, error))
        else:
            parts.sections.extend((plugin.name, section) for section in sections)
    return parts


def _sections(tell: Callable[..., Any], store: Store, story: Story) -> list[Section]:
    sections = list(tell(store=store, story=story) or [])
    for section in sections:
        if not isinstance(section, Section):
            raise TypeError(f"cream_store_demo returns a list of Sections, got {section!r:.80}")
    return sections
