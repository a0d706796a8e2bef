"""Makes ``tests``, ``demos`` and ``benchmarks`` importable, and leaves the package to whatever is installed.

At the end of the path, not at its start: under tox, the tests must meet the built wheel and not this folder.
"""

import asyncio
import inspect
import os
import sys
from pathlib import Path

import pytest

import tornado_session

ROOT = Path(__file__).parent
sys.path.append(str(ROOT))

if os.environ.get("TORNADO_SESSION_EXPECT_WHEEL") and Path(tornado_session.__file__).is_relative_to(
    ROOT / "tornado_session"
):
    raise RuntimeError(f"the tests are to run on the built wheel, but met {tornado_session.__file__}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an asynchronous test on a loop of its own; ten lines spare a plugin."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True
