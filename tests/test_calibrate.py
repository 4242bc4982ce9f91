"""How a model runs best is measured on its own example, and remembered where that is possible."""

from pathlib import Path

import pytest

from service import calibrate
from service.bundle import Bundle
from service.calibrate import MOST, Plan
from service.model import Model


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Model:
    return Model(bundle)


def learned(*rows: float) -> Plan:
    """Seconds a row in batches of 1, 2, 4, ..."""
    return Plan(encode=0.001, runs={2**i: seconds for i, seconds in enumerate(rows)})


def test_the_first_request_does_not_wait_for_a_measurement_of_batches(model: Model) -> None:
    plan = calibrate.quick(model)
    assert list(plan.runs) == [1]
    assert plan.encode > 0
    assert plan.batch > 1


@pytest.mark.parametrize(
    ("rows", "best"),
    [((1.0, 0.5, 0.25), 4), ((1.0, 1.0, 1.0), 1), ((1.0, 0.5, 0.6, 0.7), 2), ((1.0, 0.99, 0.98), 1)],
)
def test_the_best_batch_is_the_largest_that_pays(rows: tuple[float, ...], best: int) -> None:
    assert learned(*rows).batch == best


def test_measuring_goes_on_while_it_pays_and_ends() -> None:
    plan, sizes = learned(1.0), list[int]()
    while plan.next:
        sizes.append(plan.next)
        plan = plan.learn(plan.next, 1.0 / plan.next)
    assert sizes == [2**i for i in range(1, MOST.bit_length())]
    assert learned(1.0, 1.0, 1.0).next is None


def test_tiny_graphs_run_on_the_event_loop_and_heavy_ones_on_all_cores() -> None:
    tiny, middle, heavy = learned(0.0001), learned(0.002), learned(0.1)
    assert [plan.inline for plan in (tiny, middle, heavy)] == [True, False, False]
    assert [plan.heavy for plan in (tiny, middle, heavy)] == [False, False, True]


def test_what_was_measured_is_remembered(model: Model, tmp_path: Path) -> None:
    plan = learned(0.1, 0.05)
    assert calibrate.recall(tmp_path / "new", model) is None
    calibrate.remember(tmp_path / "new", model, plan)
    assert calibrate.recall(tmp_path / "new", model) == plan
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_a_cache_that_cannot_be_used_is_none(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (None, tmp_path / "file", Path("/proc/nowhere")):
        calibrate.remember(folder, model, learned(0.1))
        assert calibrate.recall(folder, model) is None


def test_a_damaged_cache_is_none(model: Model, tmp_path: Path) -> None:
    calibrate.remember(tmp_path, model, learned(0.1))
    for damage in ("", "{", "{}", '{"encode": "fast"}'):
        for file in tmp_path.iterdir():
            file.write_text(damage)
        assert calibrate.recall(tmp_path, model) is None


def test_another_bundle_is_measured_anew(model: Model, single: Bundle) -> None:
    assert calibrate.key(model) != calibrate.key(Model(single))
