"""The publishing agent of a pair, over kills, cuts and restarts of the broker."""

import json
from random import Random

import pytest

from agent.pipeline.epochs import HANDOVER_S, MAX_DELAY_S, REPEAT_S, Phase, read_claim
from tests.scaling.pair import BASE, HOSTILE, HOSTILE_STATES, TOPIC, Place, World, mishap

SEEDS = range(150)


def pair() -> World:
    world = World()
    world.start()
    world.run(5)
    return world


def owners(world: World) -> dict[int, set[str]]:
    """Return who published in each epoch."""
    found: dict[int, set[str]] = {}
    for _at, epoch, agent in world.verdicts:
        found.setdefault(epoch, set()).add(agent)
    return found


def test_the_first_agent_holds_its_partition() -> None:
    """Its standby publishes nothing while it is there, however long."""
    world = pair()
    world.run(3600)
    assert owners(world) == {2: {"gw-0"}}
    assert world.holders == ["gw-0"]


def test_the_standby_takes_over_after_the_will_and_yields() -> None:
    """With a higher epoch each time; the first claims only what was released."""
    world = pair()
    world.first.kill()
    died = world.now
    world.run(20)
    assert world.holders == ["gw-0-standby"]
    assert min(at for at, epoch, _ in world.verdicts if epoch == 3) - died >= 5.0
    world.first.start()
    world.first.connect()
    world.run(3)
    assert owners(world) == {2: {"gw-0"}, 3: {"gw-0-standby"}, 4: {"gw-0"}}
    assert world.holders == ["gw-0"]
    last = max(at for at, epoch, _ in world.verdicts if epoch == 3)
    assert last < min(at for at, epoch, _ in world.verdicts if epoch == 4)


def test_a_restart_within_the_time_changes_nothing() -> None:
    """The first goes on in its epoch, so that its outbox keeps its bytes."""
    world = pair()
    world.first.kill()
    world.run(3)
    world.first.start()
    world.first.connect()
    world.run(10)
    assert owners(world) == {2: {"gw-0"}}


def test_a_standby_that_died_does_not_hold_the_first_up() -> None:
    """Nobody releases: the first claims after the time for it."""
    world = pair()
    world.first.kill()
    world.run(20)
    world.standby.kill()
    world.first.start()
    world.first.connect()
    world.run(HANDOVER_S - 1)
    assert world.holders == []
    world.run(3)
    assert world.holders == ["gw-0"]


def test_a_killed_standby_goes_on_in_its_epoch() -> None:
    """The epoch was on disk before it was claimed."""
    world = pair()
    world.first.kill()
    world.run(20)
    world.standby.kill()
    world.standby.start()
    world.standby.connect()
    world.run(80)
    assert world.holders == ["gw-0-standby"]
    assert owners(world)[3] == {"gw-0-standby"}
    assert max(owners(world)) == 3


@pytest.mark.parametrize("ends", ["yields", "is cut off", "dies"])
def test_incidents_of_a_standby_do_not_outlive_its_epoch(ends: str) -> None:
    """However it ends; those of the first agent stay, since it goes on with them."""
    world = pair()
    world.first.kill()
    world.run(20)
    if ends == "is cut off":
        world.standby.cut()
    elif ends == "dies":
        world.standby.kill()
    world.first.start()
    world.first.connect()
    world.run(HANDOVER_S + 3)
    assert world.holders == ["gw-0"]
    if ends == "dies":
        world.standby.start()
    world.standby.connect()
    world.run(3)
    assert not world.retained[world.standby.incident]
    assert world.retained[world.first.incident]


def test_open_incidents_are_published_after_an_epoch_of_the_standby() -> None:
    """Once, by the first agent, which has opened its own without a message meanwhile."""
    world = pair()
    assert (world.first.shown, world.standby.shown) == (1, 0)
    world.first.cut()
    world.run(2)
    world.first.connect()
    world.run(20)
    assert world.first.shown == 1
    world.first.cut()
    world.run(20)
    assert world.holders == ["gw-0-standby"]
    world.first.connect()
    world.run(3600)
    assert world.holders == ["gw-0"]
    assert (world.first.shown, world.standby.shown) == (2, 0)


def test_a_claim_is_on_disk_before_it_is_sent() -> None:
    """A kill between the two makes no second owner of a number."""
    world = pair()
    world.first.kill()
    while world.standby.disk[0] != 3:
        assert not any(b'"epoch": 3' in one["raw"] for one in world.claims)
        world.run(0.2)


def test_flapping_is_slowed_down() -> None:
    """A first agent that dies again and again is followed ever later."""
    world = pair()
    waits = []
    for _ in range(12):
        world.first.kill()
        died = world.now
        while world.holders != ["gw-0-standby"]:
            world.run(0.2)
        waits.append(round(world.now - died, 1))
        world.first.start()
        world.first.connect()
        while world.holders != ["gw-0"]:
            world.run(0.2)
    assert waits == sorted(waits)
    assert waits[0] < 7.0
    assert 100.0 < waits[-1] <= MAX_DELAY_S + 2


def test_a_deleted_or_hostile_claim_is_put_right() -> None:
    """Within a turn, and without a new epoch."""
    world = pair()
    for payload in HOSTILE:
        world.publish(TOPIC, payload)
        world.run(1)
        kept = json.loads(world.retained[TOPIC])
        assert (kept["epoch"], kept["agent"], kept["state"]) == (2, "gw-0", "held")
    assert owners(world) == {2: {"gw-0"}}


def test_a_flood_of_hostile_claims_costs_a_message_a_turn() -> None:
    """The answers are bounded by the turns, not by the flood."""
    world = pair()
    sent = len(world.claims)
    for _ in range(50):
        for _ in range(100):
            world.publish(TOPIC, b"{")
        world.run(0.2)
    assert len(world.claims) - sent <= 5000 + 60


def test_a_hostile_status_of_the_first_agent_changes_nothing() -> None:
    """Retained on the topic that its standby reads."""
    world = pair()
    for payload in HOSTILE_STATES:
        world.publish(f"{BASE}/status", payload)
        world.run(10)
    assert owners(world) == {2: {"gw-0"}}
    world.first.kill()
    world.run(20)
    assert world.holders == ["gw-0-standby"]
    for payload in HOSTILE_STATES:
        world.publish(f"{BASE}/status", payload)
        world.run(10)
    assert world.holders == ["gw-0-standby"]


@pytest.mark.parametrize("found", ['"state":"offline"', '"epoch":3', '"device":"d","window":{}'])
def test_what_waits_for_the_loop_is_small(found: str) -> None:
    """A flood of large messages is read where it comes in, at the pace of its connection."""
    world = pair()
    epochs, posted = world.standby.epochs, list[tuple[object, ...]]()
    assert epochs is not None
    epochs.post = lambda *work: posted.append(work)
    payload = b'{%s,"more":"%s"}' % (found.encode(), b"x" * 2**20)
    for take in (epochs.take_claim, epochs.take_first, epochs.take_verdict):
        take(payload)
    assert posted
    assert all(len(repr(one)) < 1000 for _work, *values in posted for one in values)


def test_a_lost_claim_is_repeated() -> None:
    """A broker may drop messages of QoS 0."""
    world = pair()
    world.standby.inbox.clear()
    count = len(world.claims)
    world.run(3 * REPEAT_S)
    assert 2 <= len(world.claims) - count <= 4


@pytest.mark.parametrize("payload", HOSTILE)
def test_foreign_text_is_no_claim(payload: bytes) -> None:
    """Nor an epoch so high that no further one would be left."""
    assert read_claim(payload, 2) is None


@pytest.mark.parametrize("wiped", [False, True])
def test_a_broker_that_restarts_leaves_the_first_in_place(wiped: bool) -> None:
    """The standby is back before it; retained messages may be kept or not."""
    world = pair()
    world.break_down(wiped=wiped)
    world.run(10)
    world.up = True
    world.standby.connect()
    world.run(3)
    world.first.connect()
    world.run(20)
    assert world.holders == ["gw-0"]
    assert owners(world) == {2: {"gw-0"}}


def test_a_first_that_died_unheard_is_replaced() -> None:
    """The broker died too and published no will: its status is `online` for good."""
    world = pair()
    world.save()
    world.break_down(wiped=False, unsaved=True)
    world.first.kill()
    world.up = True
    world.standby.connect()
    assert b"online" in world.retained[world.first.status]
    world.run(70)
    assert world.holders == ["gw-0-standby"]
    world.first.start()
    world.first.connect()
    world.run(5)
    assert world.holders == ["gw-0"]


def test_a_standby_that_was_suspended_reads_before_it_claims() -> None:
    """The claims of the first agent wait in its socket."""
    world = pair()
    world.now += 90
    assert world.standby.epochs is not None
    world.standby.epochs.turn()
    world.run(20)
    assert owners(world) == {2: {"gw-0"}}
    assert world.standby.disk == (0, 2)


@pytest.mark.parametrize("wiped", [False, True])
def test_a_broker_that_lost_the_last_claims_is_told_of_them(wiped: bool) -> None:
    """Consumers that know the standby's epoch would ignore the first agent's lower one."""
    world = pair()
    world.save()
    world.first.kill()
    world.run(20)
    assert max(owners(world)) == 3
    world.break_down(wiped=wiped, unsaved=True)
    world.first.start()
    world.up = True
    world.first.connect()
    world.run(5)
    world.standby.connect()
    world.run(HANDOVER_S + 5)
    assert world.holders == ["gw-0"]
    assert max(owners(world)) == 4


def test_a_forged_lower_claim_moves_nobody() -> None:
    """The holder puts it right at once."""
    world = pair()
    for _ in range(60):
        world.publish(TOPIC, b'{"epoch":1,"agent":"gw-0","client":"gw-0","state":"held"}')
        world.run(1)
    assert owners(world) == {2: {"gw-0"}}


def test_an_absent_first_is_replaced_if_it_was_ever_there() -> None:
    """The broker lost its status and its will; a standby without any first one stays as it is."""
    world = pair()
    world.first.kill()
    world.retained.clear()
    world.standby.cut()
    world.standby.connect()
    world.run(70)
    assert world.holders == ["gw-0-standby"]
    fresh = World()
    fresh.standby.start()
    fresh.standby.connect()
    fresh.run(600)
    assert fresh.holders == []


def test_an_agent_away_knows_nothing_of_the_other() -> None:
    """Its process goes on, and publishes nothing when it is back before it has read the claim."""
    world = pair()
    world.first.cut()
    world.run(30)
    assert world.holders == ["gw-0-standby"]
    world.first.connect()
    world.run(0.4)
    assert world.holders != ["gw-0", "gw-0-standby"]
    world.run(5)
    assert world.holders == ["gw-0"]


@pytest.mark.parametrize("standby", [False, True])
def test_two_agents_of_one_name_share_no_epoch(standby: bool) -> None:
    """A mistake that no configuration shows: both claim, and neither number is published in by both."""
    world = World()
    twin = Place(world, standby=standby, client="twin")
    world.places = (world.first, world.standby, twin)
    world.start()
    if standby:
        world.run(5)
        world.first.kill()
    world.run(400)
    clients: dict[int, set[str]] = {}
    for epoch, client in world.published:
        clients.setdefault(epoch, set()).add(client)
    assert clients
    assert all(len(one) == 1 for one in clients.values())


@pytest.mark.slow
@pytest.mark.parametrize("strangers", [False, True])
def test_no_epoch_has_two_publishers(strangers: bool) -> None:
    """Over kills, cuts, restarts of the broker, lost state of it and forged claims; at the end one holds."""
    for seed in SEEDS:
        dice = Random(seed)
        world = World()
        world.start()
        for _ in range(40):
            mishap(world, dice, strangers=strangers)
            world.run(dice.choice([0.2, 1.0, 6.0, 30.0]))
        assert all(len(agents) == 1 for agents in owners(world).values()), seed
        world.up = True
        for place in world.places:
            if place.epochs is None:
                place.start()
            place.connect()
        world.run(2 * MAX_DELAY_S + 60)
        assert world.holders == ["gw-0"], seed
        assert world.first.epochs is not None
        assert world.first.epochs.phase is Phase.HOLDING
        assert not world.retained.get(world.standby.incident), seed
        assert world.first.epochs.own >= max(owners(world)), seed  # or consumers ignore it
        world.break_down(wiped=False, unsaved=True)
        world.first.kill()
        world.up = True
        world.standby.connect()
        world.run(2 * MAX_DELAY_S)
        assert world.holders == ["gw-0-standby"], seed


@pytest.mark.slow
def test_an_agent_without_a_fence_is_found() -> None:
    """The control of the test above: a standby that publishes at any time shares epochs with the first."""
    shared = 0
    for seed in SEEDS:
        dice = Random(seed)
        world = World(fenced=False)
        world.start()
        for _ in range(40):
            mishap(world, dice, strangers=False)
            world.run(dice.choice([0.2, 1.0, 6.0, 30.0]))
        shared += any(len(agents) > 1 for agents in owners(world).values())
    assert shared > len(SEEDS) / 2
