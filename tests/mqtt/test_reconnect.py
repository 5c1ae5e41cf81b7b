"""When to connect again, and with which version."""

import pytest

from agent.mqtt.errors import TAKEN_OVER, UNSUPPORTED_PROTOCOL
from agent.mqtt.reconnect import ReconnectPolicy
from agent.mqtt.settings import LinkSettings
from agent.mqtt.takeover import Ending


def make_policy(protocol: str = "auto", rng: float = 1.0) -> ReconnectPolicy:
    settings = LinkSettings(host="h", client_id="c", base_topic="b", protocol=protocol)
    return ReconnectPolicy(settings=settings, rng=lambda: rng)


def test_delays_double_to_the_maximum() -> None:
    """The upper end of the delay doubles from 2 to 30 s, the lower end stays at 1 s."""
    most, least = make_policy(rng=1.0), make_policy(rng=0.0)
    assert [most.lost(n, code=0, hung_up=False).delay_s for n in range(6)] == [2, 4, 8, 16, 30, 30]
    assert [least.lost(n, code=0, hung_up=False).delay_s for n in range(6)] == [1] * 6


def test_a_steady_connection_resets_the_delay() -> None:
    """After 10 s of connection the delays begin again; a short one goes on doubling."""
    policy = make_policy()
    for n in range(4):
        policy.lost(n, code=0, hung_up=False)
    policy.accepted(100.0)
    assert policy.lost(105.0, code=0, hung_up=True).delay_s == 30
    policy.accepted(200.0)
    assert policy.lost(210.0, code=0, hung_up=True).delay_s == 2


def test_third_takeover_within_a_minute() -> None:
    """It ends in 5 minutes of silence; slower ones do not."""
    policy = make_policy()
    for at, contested in ((0.0, False), (40.0, False), (80.0, False), (90.0, True), (95.0, False)):
        policy.accepted(at)
        reconnect = policy.lost(at + 1, code=TAKEN_OVER, hung_up=True)
        assert reconnect.contested == contested
        assert (reconnect.delay_s == 300) == contested


@pytest.mark.parametrize(
    ("ending", "session_lost", "taken"),
    [
        (Ending.TAKEN, False, True),
        (Ending.CUT, False, False),
        (Ending.CUT, True, True),
        (Ending.UNKNOWN, True, False),
    ],
)
def test_a_hang_up_is_a_takeover_only_if_the_detector_says_so(
    ending: Ending, session_lost: bool, taken: bool
) -> None:
    """The third within a minute: no will came to the connected detector, or the session is gone as well."""
    policy = make_policy()
    for at in range(3):
        assert policy.suspects_takeover(at) == (at == 2)
        policy.accepted(at, session_lost=session_lost)
        reconnect = policy.lost(at, code=0, hung_up=True, classify_loss=lambda: ending)
        assert reconnect.contested == (taken and at == 2)
    assert policy.suspects_takeover(3) != taken
    assert not policy.suspects_takeover(70)


def test_a_refused_version_is_changed_at_once() -> None:
    """A broker that refuses 5 is asked again with 3.1.1 without delay, and then for good."""
    policy = make_policy()
    reconnect = policy.lost(0.0, code=UNSUPPORTED_PROTOCOL, hung_up=False)
    assert (reconnect.delay_s, reconnect.reported, policy.protocol) == (0.0, False, "3.1.1")
    assert policy.accepted(1.0)
    assert policy.downgraded
    policy.lost(20.0, code=0, hung_up=True)
    assert policy.protocol == "3.1.1"


def test_a_fixed_version_is_kept() -> None:
    """With mqtt.protocol set, the other version is not tried."""
    policy = make_policy("5")
    assert policy.lost(0.0, code=UNSUPPORTED_PROTOCOL, hung_up=False).delay_s > 0
    for at in range(5):
        policy.lost(at, code=0, hung_up=True)
    assert policy.protocol == "5"


def test_silent_old_broker() -> None:
    """Hung up on twice with 5, accepted with 3.1.1, hung up on with 5 again: 3.1.1 it is."""
    policy, tried = make_policy(), []
    for at in range(4):
        tried.append(policy.protocol)
        if policy.protocol == "5":
            policy.lost(at, code=0, hung_up=True)
        elif policy.accepted(at):
            break
    assert tried == ["5", "5", "3.1.1", "5"]
    assert policy.protocol == "3.1.1"
    assert policy.accepted(9.0)
    assert policy.downgraded


def test_broker_that_was_only_starting() -> None:
    """Hung up on until it was up: it ends with 5, whatever was tried meanwhile."""
    for starting in range(9):
        policy = make_policy()
        for at in range(starting):
            policy.lost(at, code=0, hung_up=True)
        for at in range(3):
            if policy.accepted(10.0 + at):
                break
        assert policy.protocol == "5"
        assert not policy.downgraded
