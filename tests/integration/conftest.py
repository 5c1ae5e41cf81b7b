"""What the tests of real processes share."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.patients import HANGS, Patient
from tests.support.broker import Broker


@pytest.fixture(scope="session")
def hung(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[dict[str, Patient]]:
    """One agent for each loop that hangs, begun while other tests run: it takes half a minute."""
    folder = tmp_path_factory.mktemp("hung")
    with ExitStack() as stack:
        patients = {}
        for number, point in enumerate(HANGS):
            patient = Patient(folder / str(number), broker, f"hang:{point}", topic=f"hung{number}")
            stack.enter_context(patient.systemd)
            stack.callback(patient.agent.kill)
            patient.agent.start()
            patients[point] = patient
        yield patients
