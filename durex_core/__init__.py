"""durex: durable commands and workflows for Python teams on AWS, with nothing to keep running."""

from durex_core.app import Durex
from durex_core.execution.context import AsyncContext, Context
from durex_core.model import Spec

__all__ = ["AsyncContext", "Context", "Durex", "Spec"]
__version__ = "0.1.0"
