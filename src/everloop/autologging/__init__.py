"""Log what training libraries do, without a line for it: params, metrics, importance, data version and model.

    import everloop
    everloop.autolog()

Libraries may be imported before or after. Nothing that goes wrong here reaches the training; a warning says what was not logged.
One module a library, each with `install(module)`. Tests: tests/unit/autologging.
"""

from everloop.autologging.patching import autolog

__all__ = ["autolog"]
