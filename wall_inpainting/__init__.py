"Repaint walls in photographs. The public names; each is imported when it is first used."
import lazy_loader

__version__ = "0.1.0"

# `__init__.pyi` says where each name is at home; type checkers read it, too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
