"""Tools for tests of programs that use cream-store. Most tests need only the fixtures of `pytest_plugin`."""

import lazy_loader

# Loaded when it is first asked for: pytest looks at the plugin in this package in every run, whatever it tests.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
