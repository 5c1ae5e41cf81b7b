"""Check of ``ai.share``: what leaves the site, with one prompt as an example."""

import time
from collections.abc import Iterator
from fnmatch import fnmatchcase

from agent.commands.checks.line import Line, ok, warn
from agent.commands.printing import many, printable
from agent.config import Config, settings
from agent.domain.model_calls import Plots
from agent.domain.records import (
    Batch,
    Kind,
    LocalOpinion,
    Score,
    SeriesView,
    Severity,
    Status,
    Trigger,
    Window,
    WindowReading,
)
from agent.journal import JournalError
from agent.journal.reader import Reader
from agent.prompt import render, render_section
from agent.prompt.plot import MAX_PLOTS, illustrate
from agent.prompt.site import ALIASES, NAMES, Site, facts_of

MAX_SEARCHED = 200


def look_at_share(config: Config) -> Iterator[Line]:
    """Report whether names and knowledge leave the site, and print one prompt."""
    site = settings.of_site(config)
    windows, devices = _journaled(config)
    for glob in (one for one in config.knowledge if devices and not _covers(one, devices)):
        yield warn(
            f"knowledge.{printable(glob)}",
            f"matches none of the {many(len(devices), 'journaled device')}",
            "correct the glob; edge-agent device list prints the devices",
        )
    if site.names:
        sent = many(len(site.facts), "sentence")
        yield ok("model.share", f"{NAMES}: device names and {sent} of knowledge may leave the site")
    else:
        kept = many(len(facts_of(config.knowledge)), "sentence")
        yield ok("model.share", f"{ALIASES}: device names and {kept} of knowledge stay on this machine")
    if plots := example_plots(config):
        yield ok("model.plots", f"each question may have {MAX_PLOTS} plots after the text: {plots.legend}")
    found = [one for one in windows if _has_facts(site, one.device)] or windows
    batch = Batch("example", tuple(found[:1]) or (_sample(config),))
    origin = "a journaled window" if found else "a made-up window"
    prompt = render(batch, config.review.batch.max_input_tokens, delimiter="<random>", site=site)
    text = "\n".join(
        f"      {printable(line)}" for line in (*prompt.system.splitlines(), *prompt.user.splitlines())
    )
    yield ok("model.example", f"all text of a call on {origin}, prompt version {prompt.version}:\n{text}")


def example_plots(config: Config) -> Plots | None:
    """Return the plot of a made-up window, None where plots are off."""
    return illustrate(Batch("example", (_sample(config),)), config.ai.plot_tokens) if config.ai.plot else None


def _journaled(config: Config) -> tuple[list[Window], list[str]]:
    """Return the newest windows with a section, and all devices; neither without a journal."""
    try:
        with Reader.open(config.agent.state_dir) as reader:
            found = [record.window for record in reader.windows(limit=MAX_SEARCHED)]
            return [window for window in found if window.section], reader.devices()
    except JournalError:
        return [], []


def _covers(glob: str, devices: list[str]) -> bool:
    return any(fnmatchcase(device, glob) for device in devices)


def _has_facts(site: Site, device: str) -> bool:
    return any(fnmatchcase(device, fact.glob) for fact in site.facts)


def _sample(config: Config) -> Window:
    """Return a window of a device that the first entry of the knowledge covers, as far as that is plain."""
    glob = next(iter(config.knowledge), "*")
    device, now = glob.replace("*", "1").replace("?", "1"), time.time()
    score = Score(1.7, Kind.SPIKE, (70.1, 72.3))
    reading = WindowReading("r17", "temperature", now, 98.7, "degC", score)
    local = LocalOpinion(Status.ANOMALY, 1.7, Kind.SPIKE, Severity.WARNING, (reading,), "")
    view = SeriesView(
        device=device,
        metric="temperature",
        unit="degC",
        n=60,
        warm=True,
        median=71.2,
        p01=70.1,
        p99=72.3,
        spread=0.4,
        usual=(70.1, 72.3),
        limits=(None, None),
        recent=(71.0, 71.4, 71.1, 98.7),
        last_at=now,
        last_value=98.7,
    )
    section = render_section(
        candidates=(reading,), views=[view], start=now - 60, end=now, count=60, local=local
    )
    return Window(
        "example", device, Trigger.SUSPICION, 1, 60, 60, now - 60, now, now - 60, now, local, (reading,),
        section,
    )  # fmt: skip
