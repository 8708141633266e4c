"""cream-store: the persistence layer of Cream, an algorithmic trading system.

    from cream_store import Store

    with Store.open(plugins=["core-trading"]) as store:
        ...

The public names stand in `__init__.pyi`. Importing this package loads no plugin and no driver: each name is imported
when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
