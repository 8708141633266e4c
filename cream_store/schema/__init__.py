"""The database's schema: made to match the models of the loaded plugins."""

from cream_store.schema.push import push
from cream_store.schema.stamp import read_stamp

__all__ = ["push", "read_stamp"]
