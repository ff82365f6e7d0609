"""What trains each network: our recipe (`ZOO`), the document's, and the space to search for a better one."""

from dl.recipes.plan import Architecture, Plan
from dl.recipes.tuned import ZOO

__all__ = ["ZOO", "Architecture", "Plan"]
