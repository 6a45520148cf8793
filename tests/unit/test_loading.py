"""Loading modules: garbage is looked for again afterwards, but not among what was loaded."""

from __future__ import annotations

import gc

import pytest

from tenter.loading import gc_paused


def test_garbage_is_looked_for_again_afterwards_and_not_among_what_was_loaded() -> None:
    before = gc.get_freeze_count()
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    gc.unfreeze()


def test_a_module_that_fails_to_load_changes_nothing_of_that() -> None:
    with pytest.raises(ImportError), gc_paused():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()
