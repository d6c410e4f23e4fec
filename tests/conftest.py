"""All tests use a local account, with a secret of their own; and the order in which they run."""

import gc

import pytest
from hypothesis import settings

import tests.support.environment  # noqa: F401

#: Folders and files whose tests take longest. They begin first, so that no processor is idle at the
#: end.
SLOW = ("faults", "e2e", "statemachine", "test_tune.py", "test_tune_command.py", "property")
#: How many examples of each law `--fewer-examples` leaves: one in so many.
FEWER = 10


def pytest_addoption(parser):
    parser.addoption(
        "--fewer-examples",
        action="store_true",
        help="a tenth of the drawn examples, and no test that is marked as thorough",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    folders = [*SLOW, ""]
    items.sort(key=lambda item: min(folders.index(f) for f in {*item.path.parts, ""} & {*folders}))
    if config.getoption("fewer_examples"):
        left_out = [item for item in items if item.get_closest_marker("thorough")]
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
        for item in items:
            leave_fewer_examples(getattr(item, "function", None))


def pytest_collection_finish(session):
    """Spare the collector of garbage what stays: modules and tests, which are most objects."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def leave_fewer_examples(test):
    """Let a test of drawn examples draw fewer; any other stays as it is."""
    # Hypothesis has no other way to change the settings of a test that has some of its own.
    own = getattr(test, "_hypothesis_internal_use_settings", None)
    if own is not None:
        test._hypothesis_internal_use_settings = settings(
            own, max_examples=max(1, own.max_examples // FEWER)
        )
