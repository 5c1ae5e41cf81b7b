"""One lift: an agent without a model and one for each model, in one trial."""

from collections.abc import Callable, Mapping

from simulator.faults import label
from simulator.lift.figures import Lift, lift_of
from simulator.lift.gateway import Gateway
from simulator.lift.replay import Replay
from simulator.lift.scripted import Scripted
from simulator.lift.site import LiftPlan, Site
from simulator.model import ModelEndpoint
from simulator.model.server import Responder
from simulator.trial import Contestant, TrialPlan, run as run_trial

NONE = "none"


def run(
    site: Site, plan: LiftPlan, responders: Mapping[str, Responder | str], *, say: Callable[[str], None]
) -> tuple[list[Lift], dict[str, Gateway]]:
    """Return the figures of the agent without a model and with each of the named models, and their gateways.

    A responder that is a text names one of the scripts.

    Raises:
        TrialError, AgentEndedError, BrokerError, LinkError: it came to nothing, in one line.
    """
    start = site.start(plan.live_s)
    labels = label(site.scenario.faults, start=start, until=start + plan.live_s)
    gateways = {
        name: Gateway(Scripted(one, labels=labels, start=start) if isinstance(one, str) else one)
        for name, one in responders.items()
    }
    contestants = [Contestant(name=NONE, mode=NONE, endpoint=ModelEndpoint())]
    contestants += [
        Contestant(
            name=name,
            mode="suspicious",
            endpoint=one.endpoint(),
            settings=plan.settings(
                site.knowledge, audits=plan.audits and not isinstance(responders[name], Replay)
            ),
        )
        for name, one in gateways.items()
    ]
    trial = TrialPlan(
        scenario=site.scenario,
        history_s=plan.history_s,
        live_s=plan.live_s,
        speed=plan.speed,
        seed=plan.seed,
        lead_s=plan.lead_s,
        keep=plan.keep,
        start=start,
        drain_limit_s=plan.drain_limit_s,
    )
    outcome = run_trial(trial, say=say, contestants=contestants)
    lifts = [lift_of(outcome, NONE, origin=site.origin)]
    lifts += [
        lift_of(outcome, name, origin=site.origin, exchanges=one.exchanges) for name, one in gateways.items()
    ]
    return lifts, gateways
