from .clock import FrozenClock as FrozenClock
from .samples import Samples as Samples
from .templates import PostgresqlTemplates as PostgresqlTemplates
from .templates import SqliteTemplates as SqliteTemplates
from .templates import TemplateLibrary as TemplateLibrary
from .templates import Templates as Templates
