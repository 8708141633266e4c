"""Who may come in: users, their sessions and accounts, codes sent to them, second factors.

The tables are those that the authentication library of the other services reads and writes. The public names stand in
`__init__.pyi`; each is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
