"""The database's schema: made to match the models of the loaded plugins."""

from cream_store.schema.plan import Plan
from cream_store.schema.push import plan, push
from cream_store.schema.reset import reset
from cream_store.schema.stamp import read_stamp
from cream_store.schema.steps import Action, Risk, Step

__all__ = ["Action", "Plan", "Risk", "Step", "plan", "push", "read_stamp", "reset"]
